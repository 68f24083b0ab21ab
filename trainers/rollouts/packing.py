"""A rollout batch as flat tensors and back, so that a safetensors file can hold it.

Numbers are tensors; everything else is one JSON text, as bytes. What comes back equals what went
in, bit for bit. Nothing is ever unpickled.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from core.data.problem import Problem
from core.engines.base import FinishReason
from core.evaluation import GradedResponse
from core.responses.grade import GraderName, Verdict
from core.responses.names import FailureClass, FailureFlag
from core.rollouts import Rollout, RolloutBatch

_FORMAT = 1
_TEXT = "batch"
_OWN = "rollouts."
_GIVEN = "tensors."


def pack_batch(batch: RolloutBatch, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The batch and what belongs to it, as tensors on the CPU."""
    prompts = [rollout.prompt_ids for rollout in batch.rollouts]
    responses = [rollout.response.token_ids for rollout in batch.rollouts]
    logprobs = [value for rollout in batch.rollouts for value in rollout.engine_logprobs]
    text = json.dumps(_description(batch)).encode()
    packed = {
        f"{_OWN}{_TEXT}": torch.frombuffer(bytearray(text), dtype=torch.uint8),
        f"{_OWN}prompt_ids": _flat(prompts),
        f"{_OWN}prompt_lengths": torch.tensor([len(ids) for ids in prompts], dtype=torch.int64),
        f"{_OWN}token_ids": _flat(responses),
        f"{_OWN}lengths": torch.tensor([len(ids) for ids in responses], dtype=torch.int64),
        f"{_OWN}logprobs": torch.tensor(logprobs, dtype=torch.float64),
    }
    given = {f"{_GIVEN}{name}": tensor.detach().cpu() for name, tensor in tensors.items()}
    return {**packed, **given}


def unpack_batch(packed: Mapping[str, Tensor]) -> tuple[RolloutBatch, dict[str, Tensor]]:
    """The inverse of `pack_batch`.

    Raises:
        ValueError, KeyError, TypeError: it was written by another version.
    """
    description = json.loads(packed[f"{_OWN}{_TEXT}"].numpy().tobytes())
    if description["format"] != _FORMAT:
        raise ValueError(f"rollouts of format {description['format']} are not known")
    lengths = packed[f"{_OWN}lengths"].tolist()
    rows = zip(
        description["rollouts"],
        _cut(packed[f"{_OWN}prompt_ids"], packed[f"{_OWN}prompt_lengths"].tolist()),
        _cut(packed[f"{_OWN}token_ids"], lengths),
        _cut(packed[f"{_OWN}logprobs"], lengths),
        strict=True,
    )
    batch = RolloutBatch(
        problems=tuple(Problem(**problem) for problem in description["problems"]),
        rollouts=tuple(
            Rollout(_response(row, ids), prompt, logprobs, GraderName(row["grader"]))
            for row, prompt, ids, logprobs in rows
        ),
        **description["batch"],
    )
    given = {
        name.removeprefix(_GIVEN): tensor
        for name, tensor in packed.items()
        if name.startswith(_GIVEN)
    }
    return batch, given


def _description(batch: RolloutBatch) -> dict[str, Any]:
    names = ("number", "first_step", "per_question")
    seconds = ("generate_seconds", "grade_seconds", "sync_seconds")
    return {
        "format": _FORMAT,
        "batch": {name: getattr(batch, name) for name in (*names, *seconds)},
        "problems": [asdict(problem) for problem in batch.problems],
        "rollouts": [_described(rollout) for rollout in batch.rollouts],
    }


def _described(rollout: Rollout) -> dict[str, Any]:
    response = rollout.response
    return {
        "grader": rollout.grader,
        "problem_id": response.problem_id,
        "sample": response.sample,
        "text": response.text,
        "finish": response.finish,
        "think_tokens": response.think_tokens,
        "answer_position": response.answer_position,
        "closed": response.closed,
        "unparseable": response.unparseable,
        "flags": sorted(response.flags),
        "verdicts": {
            name: [verdict.formatted, verdict.right, verdict.extracted, verdict.timed_out]
            for name, verdict in response.verdicts.items()
        },
        "failures": dict(response.failures),
    }


def _response(row: Mapping[str, Any], token_ids: tuple[int, ...]) -> GradedResponse:
    return GradedResponse(
        problem_id=row["problem_id"],
        sample=row["sample"],
        text=row["text"],
        token_ids=token_ids,
        finish=FinishReason(row["finish"]),
        think_tokens=row["think_tokens"],
        answer_position=row["answer_position"],
        closed=row["closed"],
        unparseable=row["unparseable"],
        flags=frozenset(map(FailureFlag, row["flags"])),
        verdicts={GraderName(name): Verdict(*values) for name, values in row["verdicts"].items()},
        failures={
            GraderName(name): None if failure is None else FailureClass(failure)
            for name, failure in row["failures"].items()
        },
    )


def _flat(rows: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor([token for row in rows for token in row], dtype=torch.int64)


def _cut(flat: Tensor, lengths: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    values = flat.tolist()
    if len(values) != sum(lengths):
        raise ValueError("the rollouts are of other lengths than their list says")
    for start, end in pairwise(accumulate(lengths, initial=0)):
        yield tuple(values[start:end])
