"""The grades of a response as two parts: verdicts, which many responses share, and its answers.

Graders agree in a few dozen ways, so that a response needs no rows of its own for their verdicts,
only the key of a set. What they extracted is mostly one answer, with or without spaces around it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from core.registry.entries import GradeRow
from core.registry.schema import Response, Verdict, VerdictSet, table
from core.registry.upsert import insert_new

_TRIMMED = -1
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class FoldedGrades:
    """All grades of one response.

    Attributes:
        text: Of the set of verdicts; None where there is no grade.
        extracted: The answer that they are about; None where nothing was extracted.
        also_extracted: A JSON list of further ones.
    """

    text: str | None
    extracted: str | None
    also_extracted: str | None


def fold(grades: Iterable[GradeRow]) -> FoldedGrades:
    """Take the grades of one response apart; one of each grader and version."""
    rows = sorted(grades, key=lambda row: (row.grader, row.version))
    if not rows:
        return FoldedGrades(None, None, None)
    found = list(dict.fromkeys(row.extracted for row in rows if row.extracted is not None))
    first = _first(found)
    trimmed = None if first is None else first.strip(" ")
    others = [value for value in found if value not in (first, trimmed)]
    places = {value: place for place, value in enumerate(others, start=1)}
    if first is not None and trimmed is not None:
        places |= {trimmed: _TRIMMED} | {first: 0}
    verdicts = [
        (
            *(row.grader, row.version, int(row.formatted), int(row.right), row.failure),
            None if row.extracted is None else places[row.extracted],
        )
        for row in rows
    ]
    text = json.dumps(verdicts, separators=(",", ":"))
    return FoldedGrades(text, first, json.dumps(others) if others else None)


def unfold(folded: FoldedGrades) -> list[GradeRow]:
    """The grades behind `fold`."""
    if folded.text is None:
        return []
    values: dict[int | None, str | None] = {None: None}
    if folded.extracted is not None:
        values |= {0: folded.extracted, _TRIMMED: folded.extracted.strip(" ")}
    values |= dict(enumerate(json.loads(folded.also_extracted or "[]"), start=1))
    return [
        GradeRow(
            grader=grader,
            version=version,
            formatted=bool(formatted),
            right=bool(right),
            extracted=values[place],
            failure=failure,
        )
        for grader, version, formatted, right, failure, place in json.loads(folded.text)
    ]


def set_keys(connection: Connection, texts: Iterable[str | None]) -> dict[str | None, int | None]:
    """Keys of these sets of verdicts; new ones are stored.

    Args:
        connection: An open write transaction.
        texts: As `fold` gives them.
    """
    wanted = sorted({text for text in texts if text is not None})
    known = _known_keys(connection, wanted)
    new = [text for text in wanted if text not in known]
    sets = table(VerdictSet)
    insert_new(connection, sets, [{"text": text} for text in new], ("text",))
    added = _known_keys(connection, new)
    rows = [row for text in new for row in _verdicts(added[text], text)]
    insert_new(connection, table(Verdict), rows, ("verdict_set", "grader", "version"))
    return {None: None, **known, **added}


def add_grades(connection: Connection, grades: Mapping[int, Sequence[GradeRow]]) -> None:
    """Add grades to stored responses; where one of that grader and version is there, it stays.

    Args:
        connection: An open write transaction.
        grades: By key of the response.
    """
    keys = list(grades)
    for start in range(0, len(keys), _AT_ONCE):
        chunk = keys[start : start + _AT_ONCE]
        before = _folded(connection, chunk)
        after = {key: fold(_together(unfold(before[key]), grades[key])) for key in before}
        changed = {key: folded for key, folded in after.items() if folded != before[key]}
        _replace(connection, changed)


def _first(found: Sequence[str]) -> str | None:
    """The answer that stands for itself; one whose trimmed form was extracted too, if there is."""
    padded = (value for value in found if value != value.strip(" ") and value.strip(" ") in found)
    return next(padded, found[0] if found else None)


def _verdicts(key: int | None, text: str) -> list[dict[str, Any]]:
    names = ("grader", "version", "formatted", "right", "failure", "place")
    rows = [dict(zip(names, values, strict=True)) for values in json.loads(text)]
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


def _known_keys(connection: Connection, texts: Sequence[str]) -> dict[str | None, int | None]:
    sets = table(VerdictSet)
    found: dict[str | None, int | None] = {}
    for start in range(0, len(texts), _AT_ONCE):
        query = select(sets.c.text, sets.c.key).where(
            sets.c.text.in_(texts[start : start + _AT_ONCE])
        )
        found |= {row.text: row.key for row in connection.execute(query)}
    return found


def _folded(connection: Connection, keys: Sequence[int]) -> dict[int, FoldedGrades]:
    responses, sets = table(Response), table(VerdictSet)
    query = (
        select(responses.c.key, sets.c.text, responses.c.extracted, responses.c.also_extracted)
        .select_from(responses.outerjoin(sets, sets.c.key == responses.c.verdict_set))
        .where(responses.c.key.in_(keys))
    )
    return {row[0]: FoldedGrades(*row[1:]) for row in connection.execute(query)}


def _together(there: Sequence[GradeRow], new: Sequence[GradeRow]) -> list[GradeRow]:
    taken = {(row.grader, row.version) for row in there}
    return [*there, *(row for row in new if (row.grader, row.version) not in taken)]


def _replace(connection: Connection, changed: Mapping[int, FoldedGrades]) -> None:
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
