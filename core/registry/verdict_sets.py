"""What is noted about a response as two parts: what many responses share, and its own answers.

Graders agree in a few dozen ways, so that a response needs no rows of its own for their verdicts,
only the key of a set, which also says how it ended. What graders extracted is mostly one answer,
with or without the spaces around it.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from core.batches import batched
from core.registry.entries import GradeRow
from core.registry.nul_text import escaped, unescaped
from core.registry.schema import Response, Verdict, VerdictSet, table
from core.registry.upsert import at_once, insert_new

_TRIMMED = -1
_AT_ONCE = 500
_order = attrgetter("grader", "version")


class PlainGrade(NamedTuple):
    """A grade as a table has it; cheaper to make than a row of a journal."""

    grader: str
    version: int
    formatted: bool
    right: bool
    failure: str | None
    extracted: str | None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a response ended, and what was seen in it; the flags have commas between them."""

    finish: str
    closed: bool
    unparseable: bool | None
    flags: str


@dataclass(frozen=True, slots=True)
class Noted:
    """An ending with all grades, at most one of each grader and version."""

    ending: Ending
    grades: Sequence[GradeRow | PlainGrade]


@dataclass(frozen=True, slots=True)
class Folded:
    """The same as it is stored.

    Attributes:
        text: Of the set.
        extracted: The answer that the grades are about; None where nothing was extracted.
        also_extracted: A JSON list of further ones, without NUL characters (`nul_text`).
    """

    text: str
    extracted: str | None
    also_extracted: str | None


def fold(noted: Noted) -> Folded:
    """Take it apart."""
    rows = sorted(noted.grades, key=_order)
    found = list(dict.fromkeys(row.extracted for row in rows if row.extracted is not None))
    places: dict[str | None, int | None] = {None: None}
    first = others = None
    if found:
        first = _first(found)
        trimmed = first.strip(" ")
        others = [value for value in found if value not in (first, trimmed)]
        for place, value in enumerate(others, start=1):
            places[value] = place
        places[trimmed] = _TRIMMED
        places[first] = 0  # where it has no spaces around it, it is the same as the one above
    verdicts = tuple(
        (row.grader, row.version, row.formatted, row.right, row.failure, places[row.extracted])
        for row in rows
    )
    text = _set_text(noted.ending, verdicts)
    # the view takes single answers out of the list with the database's JSON functions
    also = json.dumps([escaped(value) for value in others]) if others else None
    return Folded(text, first, also)


def unfold(folded: Folded) -> Noted:
    """The inverse of `fold`."""
    values: dict[int | None, str | None] = {None: None}
    if folded.extracted is not None:
        values |= {0: folded.extracted, _TRIMMED: folded.extracted.strip(" ")}
    also = json.loads(folded.also_extracted or "[]")
    values |= dict(enumerate(map(unescaped, also), start=1))
    *end, verdicts = json.loads(folded.text)
    grades = [
        GradeRow(
            grader=grader,
            version=version,
            formatted=bool(formatted),
            right=bool(right),
            extracted=values[place],
            failure=failure,
        )
        for grader, version, formatted, right, failure, place in verdicts
    ]
    return Noted(_ending(end), grades)


def set_keys(connection: Connection, texts: Iterable[str]) -> dict[str, int]:
    """Keys of these sets; new ones are stored.

    Args:
        connection: An open write transaction.
        texts: As `fold` gives them.
    """
    wanted = sorted(set(texts))
    known = _known_keys(connection, wanted)
    new = [text for text in wanted if text not in known]
    if not new:
        return known
    with at_once(connection) as short:
        insert_new(short, table(VerdictSet), [_set_row(text) for text in new], ("text",))
        added = _known_keys(short, new)
        rows = [row for text in new for row in _verdicts(added[text], text)]
        insert_new(short, table(Verdict), rows, ("verdict_set", "grader", "version"))
    return known | added


def add_grades(connection: Connection, grades: Mapping[int, Sequence[GradeRow]]) -> None:
    """Add grades to stored responses; where one of that grader and version is there, it stays.

    Args:
        connection: An open write transaction.
        grades: By key of the response.
    """

    def add(key: int, noted: Noted) -> Noted:
        taken = {(row.grader, row.version) for row in noted.grades}
        new = [row for row in grades[key] if (row.grader, row.version) not in taken]
        return Noted(noted.ending, [*noted.grades, *new])

    change_notes(connection, list(grades), add)


def change_notes(
    connection: Connection, keys: Sequence[int], change: Callable[[int, Noted], Noted]
) -> None:
    """Note something else about stored responses.

    Args:
        connection: An open write transaction.
        keys: Of the responses; unknown ones are passed over.
        change: Gives what to note, from the key and what is noted now.
    """
    for batch in batched(keys, _AT_ONCE):
        before = _folded(connection, batch)
        after = {key: fold(change(key, unfold(before[key]))) for key in before}
        _replace(connection, {key: new for key, new in after.items() if new != before[key]})


@lru_cache(maxsize=4096)
def _set_text(end: Ending, verdicts: tuple[tuple[Any, ...], ...]) -> str:
    """One text for one set; there are few of them and many responses."""
    flat = [
        (grader, version, int(formatted), int(right), failure, place)
        for grader, version, formatted, right, failure, place in verdicts
    ]
    unparseable = None if end.unparseable is None else int(end.unparseable)
    whole = (end.finish, int(end.closed), unparseable, end.flags, flat)
    return json.dumps(whole, separators=(",", ":"))


def _first(found: Sequence[str]) -> str:
    """The answer that stands for itself; one whose trimmed form was extracted too, if there is."""
    padded = (value for value in found if value != value.strip(" ") and value.strip(" ") in found)
    return next(padded, found[0])


def _ending(values: Sequence[Any]) -> Ending:
    finish, closed, unparseable, flags = values
    return Ending(finish, bool(closed), None if unparseable is None else bool(unparseable), flags)


def _set_row(text: str) -> dict[str, Any]:
    *values, _ = json.loads(text)
    end = _ending(values)
    return {"text": text, **{name: getattr(end, name) for name in Ending.__slots__}}


def _verdicts(key: int, text: str) -> list[dict[str, Any]]:
    names = ("grader", "version", "formatted", "right", "failure", "place")
    rows = [dict(zip(names, values, strict=True)) for values in json.loads(text)[-1]]
    newest = {row["grader"]: row["version"] for row in rows}  # by version: the last one wins
    return [
        {
            **row,
            "verdict_set": key,
            "formatted": bool(row["formatted"]),
            "right": bool(row["right"]),
            "newest": newest[row["grader"]] == row["version"],
        }
        for row in rows
    ]


def _known_keys(connection: Connection, texts: Sequence[str]) -> dict[str, int]:
    sets = table(VerdictSet)
    found: dict[str, int] = {}
    for batch in batched(texts, _AT_ONCE):
        query = select(sets.c.text, sets.c.key).where(sets.c.text.in_(batch))
        found |= {row.text: row.key for row in connection.execute(query)}
    return found


def _folded(connection: Connection, keys: Sequence[int]) -> dict[int, Folded]:
    responses, sets = table(Response), table(VerdictSet)
    query = (
        select(responses.c.key, sets.c.text, responses.c.extracted, responses.c.also_extracted)
        .join(sets, sets.c.key == responses.c.verdict_set)
        .where(responses.c.key.in_(keys))
    )
    return {row[0]: Folded(*row[1:]) for row in connection.execute(query)}


def _replace(connection: Connection, changed: Mapping[int, Folded]) -> None:
    if not changed:
        return
    keys = set_keys(connection, (folded.text for folded in changed.values()))
    responses = table(Response)
    statement = (
        update(responses)
        .where(responses.c.key == bindparam("response"))
        .values(
            verdict_set=bindparam("of_set"),
            extracted=bindparam("answer"),
            also_extracted=bindparam("answers"),
        )
    )
    rows = [
        {
            "response": key,
            "of_set": keys[folded.text],
            "answer": folded.extracted,
            "answers": folded.also_extracted,
        }
        for key, folded in changed.items()
    ]
    connection.execute(statement, rows)
