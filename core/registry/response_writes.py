"""Writes responses with their problems and grades, a batch of rows at a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from core.batches import batched
from core.registry.dictionaries import Compress, choose_compression
from core.registry.entries import ProblemRow, ResponseRow
from core.registry.schema import Response, StoredProblem, table
from core.registry.upsert import insert_new
from core.registry.verdict_sets import Ending, Noted, fold, set_keys

_BATCH = 2000
# fields of a row that are stored in another form
_ELSEWHERE = {"grades", "finish", "closed", "unparseable", "flags", "text", "problem"}


@dataclass(frozen=True, slots=True)
class Owner:
    """What responses belong to.

    Attributes:
        column: `evaluation` or `batch`.
        key: Of the evaluation or the rollout batch.
        run: Key of the run.
        beside: Further columns that all its responses share.
    """

    column: str
    key: int
    run: int
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
    compress: Compress | None = None
    for batch in batched(rows, _BATCH):
        if compress is None:
            texts = [row.text for row in batch]
            compress = choose_compression(connection, owner.run, texts)
        _insert_batch(connection, owner, names, batch, compress)


def _insert_batch(
    connection: Connection,
    owner: Owner,
    problems: Mapping[str, int],
    batch: Sequence[ResponseRow],
    compress: Compress,
) -> None:
    """Insert responses with their grades."""
    shared = {owner.column: owner.key, **owner.beside}
    folded = [fold(_noted(row)) for row in batch]
    sets = set_keys(connection, (notes.text for notes in folded))
    rows = [
        {
            **row.model_dump(exclude=_ELSEWHERE),
            **shared,
            "problem": problems[row.problem],
            "verdict_set": sets[notes.text],
            "extracted": notes.extracted,
            "also_extracted": notes.also_extracted,
            "text": compress(row.text),
        }
        for row, notes in zip(batch, folded, strict=True)
    ]
    connection.execute(table(Response).insert(), rows)


def _noted(row: ResponseRow) -> Noted:
    ending = Ending(row.finish, row.closed, row.unparseable, ",".join(row.flags))
    return Noted(ending, row.grades)


def _problem_keys(
    connection: Connection, data_hash: str, rows: Iterable[ProblemRow]
) -> dict[str, int]:
    problems = table(StoredProblem)
    for batch in batched(rows, _BATCH):
        new = [{"data_hash": data_hash, **problem.model_dump()} for problem in batch]
        insert_new(connection, problems, new, ("data_hash", "id"))
    query = select(problems.c.id, problems.c.key).where(problems.c.data_hash == data_hash)
    return {row.id: row.key for row in connection.execute(query)}


def response_keys(connection: Connection, evaluation: int) -> dict[tuple[str, int], int]:
    """Keys of an evaluation's responses, by id of the problem and number of the sample."""
    responses, problems = table(Response), table(StoredProblem)
    query = (
        select(problems.c.id, responses.c.sample, responses.c.key)
        .join(problems, problems.c.key == responses.c.problem)
        .where(responses.c.evaluation == evaluation)
    )
    return {(problem, sample): key for problem, sample, key in connection.execute(query)}
