"""Writes responses with their problems and grades, a batch of rows at a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from core.batches import batched
from core.registry.codec import compress_text
from core.registry.entries import ProblemRow, ResponseRow
from core.registry.schema import Grade, Response, StoredProblem, table
from core.registry.upsert import insert_new

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Owner:
    """What responses belong to.

    Attributes:
        column: `evaluation` or `batch`.
        key: Of the evaluation or the rollout batch.
        beside: Further columns that all its responses share.
    """

    column: str
    key: int
    beside: Mapping[str, int] = field(default_factory=dict)


def insert_responses(
    connection: Connection,
    owner: Owner,
    data_hash: str,
    problems: Iterable[ProblemRow],
    rows: Iterable[ResponseRow],
) -> None:
    """Insert the responses of something that has none yet.

    Args:
        connection: An open write transaction.
        owner: What they belong to.
        data_hash: Of the data the problems are from.
        problems: Every problem that the responses answer; stored where they are new.
        rows: In order; all of one class.
    """
    names = _problem_keys(connection, data_hash, problems)
    last = 0
    for batch in batched(rows, _BATCH):
        last = _insert_batch(connection, owner, names, batch, last)


def _insert_batch(
    connection: Connection,
    owner: Owner,
    problems: Mapping[str, int],
    batch: Sequence[ResponseRow],
    last: int,
) -> int:
    """Insert responses and their grades; returns the largest key, as `last` of the next batch."""
    responses = table(Response)
    shared = {owner.column: owner.key, **owner.beside}
    rows = [
        {
            **row.model_dump(exclude={"grades", "flags", "text", "problem"}),
            **shared,
            "problem": problems[row.problem],
            "flags": ",".join(row.flags),
            "text": compress_text(row.text),
        }
        for row in batch
    ]
    connection.execute(responses.insert(), rows)
    query = select(responses.c.problem, responses.c.sample, responses.c.key)
    new = (responses.c[owner.column] == owner.key) & (responses.c.key > last)
    found = connection.execute(query.where(new))
    keys = {(problem, sample): key for problem, sample, key in found}
    grades = [
        {"response": keys[problems[row.problem], row.sample], **grade.model_dump()}
        for row in batch
        for grade in row.grades
    ]
    connection.execute(table(Grade).insert(), grades)
    return max(keys.values())


def _problem_keys(
    connection: Connection, data_hash: str, rows: Iterable[ProblemRow]
) -> dict[str, int]:
    problems = table(StoredProblem)
    for batch in batched(rows, _BATCH):
        new = [{"data_hash": data_hash, **problem.model_dump()} for problem in batch]
        insert_new(connection, problems, new, ("data_hash", "id"))
    query = select(problems.c.id, problems.c.key).where(problems.c.data_hash == data_hash)
    return {row.id: row.key for row in connection.execute(query)}
