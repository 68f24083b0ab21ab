"""Queries about rollouts."""

from core.registry.codec import unpack_floats, unpack_integers
from core.registry.database import Database
from core.registry.evaluation_queries import by_response, stored_response
from core.registry.rollout_records import RolloutBatchRecord, StoredRollout
from core.registry.text_reading import text_reader

_COLUMNS = """b.uuid, b.segment, b.number, b.step, b.time, b.per_question, b.grader, b.n,
    b.generate_seconds, b.grade_seconds, b.sync_seconds"""


def rollout_batches(
    database: Database, run_uuid: str, step: int | None = None
) -> list[RolloutBatchRecord]:
    """Batches by step; what a resume or rollback superseded is left out.

    Of several of the same step and number only the one of the newest segment counts.
    """
    only = "" if step is None else "AND b.step = :step"
    sql = f"""SELECT {_COLUMNS} FROM rollout_batch b JOIN run r ON r.key = b.run
        WHERE r.uuid = :uuid {only} AND NOT EXISTS (SELECT 1 FROM segment s
            WHERE s.run = b.run AND s.number > b.segment AND s.start_step < b.step)
        ORDER BY b.step, b.number, b.segment, b.key"""
    given = {"uuid": run_uuid, **({} if step is None else {"step": step})}
    found = [RolloutBatchRecord(*row) for row in database.read(sql, given)]
    return list({(batch.step, batch.number): batch for batch in found}.values())


def rollouts(database: Database, run_uuid: str, step: int | None = None) -> list[StoredRollout]:
    """Every rollout of the batches that `rollout_batches` names, in the order sampled."""
    return [
        rollout
        for batch in rollout_batches(database, run_uuid, step)
        for rollout in _rollouts_of(database, batch)
    ]


def _rollouts_of(database: Database, batch: RolloutBatchRecord) -> list[StoredRollout]:
    sql = """SELECT x.key, p.id, p.question, p.truth, x.sample, x.text, x.finish, x.tokens,
            x.think_tokens, x.answer_position, x.closed, x.unparseable, x.flags, x.token_ids,
            x.logprobs
        FROM rollout_batch b JOIN response x ON x.batch = b.key JOIN problem p ON p.key = x.problem
        WHERE b.uuid = :uuid ORDER BY x.key"""
    graded = """SELECT g.response, g.grader, g.formatted, g."right", g.extracted, g.failure,
            g.version
        FROM rollout_batch b JOIN response x ON x.batch = b.key JOIN grade g ON g.response = x.key
        WHERE b.uuid = :uuid ORDER BY g.version"""
    given = {"uuid": batch.uuid}
    texts = text_reader(database)
    grades = by_response(database.read(graded, given))
    return [
        StoredRollout(
            number=batch.number,
            step=batch.step,
            grader=batch.grader,
            response=stored_response(row[:13], grades.get(row[0], {}), texts),
            token_ids=None if row[13] is None else unpack_integers(row[13]),
            logprobs=None if row[14] is None else unpack_floats(row[14]),
        )
        for row in database.read(sql, given)
    ]
