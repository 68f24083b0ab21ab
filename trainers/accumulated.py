"""What micro-batches gave, as it comes off the device: read once per step, not once per pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.tokenization import Example


@dataclass(frozen=True, slots=True)
class Accumulated:
    """What one micro-batch gave.

    Attributes:
        loss: Its share in the loss of the step; a scalar on a GPU until `settled` reads it.
        positions: Token positions that were computed.
        padding: How many of them hold no token.
        entropy_sum: Entropies of the distributions that its targets were drawn from, in nats,
            added up; None where they were not asked for; a scalar on a GPU like the loss.
    """

    loss: float | Tensor
    positions: int
    padding: int
    entropy_sum: float | Tensor | None = None


@dataclass(frozen=True, slots=True)
class Settled(Accumulated):
    """The same with its numbers read."""

    loss: float
    entropy_sum: float | None = None


def settled(parts: Sequence[Accumulated]) -> list[Settled]:
    """Read all numbers of a step, waiting for the device once."""
    waiting = [
        value.double()
        for part in parts
        for value in (part.loss, part.entropy_sum)
        if isinstance(value, Tensor)
    ]
    read = iter(torch.stack(waiting).tolist() if waiting else ())

    def number(value: float | Tensor) -> float:
        return next(read) if isinstance(value, Tensor) else value

    return [
        Settled(
            number(part.loss),
            part.positions,
            part.padding,
            None if part.entropy_sum is None else number(part.entropy_sum),
        )
        for part in parts
    ]


def work_figures(examples: Sequence[Example], positions: float, padding: float) -> dict[str, float]:
    """What the passes of an update went through.

    Args:
        examples: What was learned from.
        positions: Token positions that were computed.
        padding: How many of them held no token.
    """
    tokens = sum(len(example.token_ids) for example in examples)
    supervised = sum(example.supervised_count for example in examples)
    return {
        "tokens": float(tokens),
        "supervised_fraction": supervised / max(1, tokens),
        "padding_share": padding / max(1, positions),
    }


def shared_fraction(examples: Sequence[Example], positions: float, padding: float) -> float:
    """Input tokens that were not computed, because others began with the same ones."""
    # an example's last token is a target only
    inputs = sum(len(example.token_ids) - 1 for example in examples)
    return 1.0 - (positions - padding) / inputs
