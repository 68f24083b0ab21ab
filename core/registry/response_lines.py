"""Responses of an evaluation one line each, in pieces: for lists too long to be read at once.

Texts stay where they are until somebody looks at one.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from core.registry.answers import grades_of
from core.registry.database import Database
from core.registry.evaluation_queries import stored_response
from core.registry.records import StoredResponse
from core.registry.store import Registry
from core.registry.text_reading import text_reader

_FIRST_PIECE, _PIECE = 500, 10_000
_TEXTS_AT_ONCE = 250


class ResponseLine(NamedTuple):
    """One response under one grader, without its text; there are many.

    Attributes:
        key: Of the response in this registry.
        problem: Id of the problem.
        sample: Number of the sample for it, from 0.
        extracted: What the grader compared with the truth; None for nothing.
        failure: Its class; None where the grader says right.
    """

    key: int
    problem: str
    sample: int
    truth: str
    tokens: int
    finish: str
    formatted: bool
    right: bool
    extracted: str | None
    failure: str | None


def response_lines(
    database: Database, evaluation_uuid: str, grader: str
) -> Iterator[list[ResponseLine]]:
    """Every response that the grader judged, in the order asked: a short piece, then longer ones.

    Args:
        database: Where they are.
        evaluation_uuid: Whose responses.
        grader: Whose newest verdicts.
    """
    found = "SELECT x.key FROM answer x JOIN evaluation e ON e.key = x.evaluation"
    rows = database.read(f"{found} WHERE e.uuid = :uuid", {"uuid": evaluation_uuid})
    keys = sorted(row[0] for row in rows)
    begin, size = 0, _FIRST_PIECE
    while begin < len(keys):
        piece = keys[begin : begin + size]
        yield _piece(database, evaluation_uuid, grader, piece)
        begin, size = begin + size, _PIECE


def _piece(
    database: Database, evaluation_uuid: str, grader: str, keys: Sequence[int]
) -> list[ResponseLine]:
    # the keys of an evaluation lie close together: a range of them is read in their own order
    sql = """SELECT x.key, p.id, x.sample, p.truth, x.tokens, s.finish, g.formatted, g."right",
            g.extracted, g.failure
        FROM answer x JOIN verdict_set s ON s.key = x.verdict_set
        JOIN problem p ON p.key = x.problem
        JOIN grade g ON g.response = x.key AND g.grader = :grader AND g.newest
        WHERE x.key BETWEEN :first AND :last AND +x.evaluation =
            (SELECT key FROM evaluation WHERE uuid = :uuid) ORDER BY x.key"""
    given = {"grader": grader, "uuid": evaluation_uuid, "first": keys[0], "last": keys[-1]}
    return [
        ResponseLine._make((*row[:6], bool(row[6]), bool(row[7]), *row[8:]))
        for row in database.read(sql, given)
    ]


def whole_response(registry: Registry, key: int) -> StoredResponse | None:
    """One response with its problem, text and all grades; None when it was deleted."""
    sql = """SELECT x.key, p.id, p.question, p.truth, x.sample, x.text, x.finish, x.tokens,
            x.think_tokens, x.answer_position, x.closed, x.unparseable, x.flags
        FROM response x JOIN problem p ON p.key = x.problem WHERE x.key = :key"""
    rows = registry.database.read(sql, {"key": key})
    if not rows:
        return None
    grades = grades_of(registry, [key])[key]
    return stored_response(rows[0], grades, text_reader(registry.database))


def search_responses(
    database: Database, keys: Sequence[int], wanted: str
) -> Iterator[tuple[int, list[int]]]:
    """Responses whose text or question holds some words, whatever their case.

    Args:
        database: Where they are.
        keys: Where to look, in this order.
        wanted: What to look for.

    Yields:
        After each piece: how many were looked at so far, and the keys found in the piece.
    """
    texts, needle = text_reader(database), wanted.casefold()
    sql = """SELECT x.key, x.text, p.question FROM answer x JOIN problem p ON p.key = x.problem
        WHERE x.key IN (:values)"""
    for begin in range(0, len(keys), _TEXTS_AT_ONCE):
        piece = list(keys[begin : begin + _TEXTS_AT_ONCE])
        found = {
            key
            for key, stored, question in database.read_in(sql, piece)
            if needle in question.casefold() or needle in texts.text(stored).casefold()
        }
        yield begin + len(piece), [key for key in piece if key in found]
