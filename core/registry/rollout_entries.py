"""A rollout batch as a journal line, and back: rows are compressed, because there are many.

Building one costs a while for a large batch; it is done on the recorder's own thread.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from pydantic import ConfigDict

from core.config.methods import KeepRollouts
from core.registry.codec import pack_floats, pack_integers, pack_lines, unpack_lines
from core.registry.entries import ProblemRow, ResponseRow, RolloutsEntry
from core.registry.evaluation_entries import problem_row, response_row
from core.rollouts import Rollout, RolloutBatch


class RolloutRow(ResponseRow):
    """One rollout; tokens and log-probabilities only where they are kept."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    token_ids: bytes | None = None
    logprobs: bytes | None = None


def rollouts_entry(
    batch: RolloutBatch,
    keep: KeepRollouts,
    *,
    run_uuid: str,
    data_hash: str,
    segment: int,
    time: float,
) -> RolloutsEntry | None:
    """A batch as it is recorded; None where nothing of it is kept.

    Args:
        batch: What was sampled.
        keep: How much of it.
        run_uuid: The run.
        data_hash: Of the run's training problems.
        segment: Of the run, as it is now.
        time: Seconds since the epoch.
    """
    if keep is KeepRollouts.NONE or not batch.rollouts:
        return None
    problems = {problem.id: problem for problem in batch.problems}
    lines = [problem_row(problem).model_dump_json().encode() for problem in problems.values()]
    whole = keep is KeepRollouts.ALL
    lines += [row.model_dump_json().encode() for row in _rows(batch.rollouts, whole=whole)]
    return RolloutsEntry(
        uuid=_identity(run_uuid, batch, lines),
        segment=segment,
        step=batch.first_step,
        number=batch.number,
        time=time,
        per_question=batch.per_question,
        grader=batch.rollouts[0].grader.value,
        n=len(batch.rollouts),
        generate_seconds=batch.generate_seconds,
        grade_seconds=batch.grade_seconds,
        sync_seconds=batch.sync_seconds,
        data_hash=data_hash,
        problems=len(problems),
        rows=pack_lines(lines),
    )


def rows_of(entry: RolloutsEntry) -> tuple[list[ProblemRow], Iterator[RolloutRow]]:
    """The problems of a batch, and its rollouts, read one at a time.

    Raises:
        ValueError: the rows are damaged.
    """
    lines = iter(unpack_lines(entry.rows))
    problems = [ProblemRow.model_validate_json(line) for line in islice(lines, entry.problems)]
    return problems, (RolloutRow.model_validate_json(line) for line in lines)


def _rows(rollouts: Sequence[Rollout], *, whole: bool) -> Iterator[RolloutRow]:
    """Rollouts as rows; samples are counted anew, as refills may have asked a problem again."""
    seen = Counter[str]()
    for rollout in rollouts:
        row = response_row(rollout.response)
        kept = dict[str, bytes]()
        if whole:
            kept["token_ids"] = pack_integers(rollout.response.token_ids)
            kept["logprobs"] = pack_floats(rollout.engine_logprobs)
        # checked already, field by field: only the class is another one
        fields = {name: getattr(row, name) for name in ResponseRow.model_fields}
        yield RolloutRow.model_construct(**{**fields, "sample": seen[row.problem], **kept})
        seen[row.problem] += 1


def _identity(run_uuid: str, batch: RolloutBatch, lines: Sequence[bytes]) -> str:
    digest = hashlib.sha256(f"{run_uuid}/{batch.number}/{batch.first_step}".encode())
    for line in lines:
        digest.update(b"\n" + line)
    return digest.hexdigest()[:32]
