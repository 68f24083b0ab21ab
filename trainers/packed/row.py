"""Examples joined into one row: ids, positions that start again, and where each example ends."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor


class Tokens(Protocol):
    """What a row needs to know of an example; `trainers.tokenization.Example` says it all."""

    @property
    def problem_id(self) -> str:
        """Id of its problem."""

    @property
    def token_ids(self) -> tuple[int, ...]:
        """All its tokens."""

    @property
    def supervised(self) -> tuple[bool, ...]:
        """For each token, whether it is a target."""


AnyTokens = TypeVar("AnyTokens", bound=Tokens)


@dataclass(frozen=True, slots=True)
class PackedRow:
    """N examples side by side, T token positions, S of them supervised; no position is padding.

    The last token of an example is only ever a label, so an example of L tokens takes L - 1
    positions, and one of a single token takes none.

    Attributes:
        ids: Shape (T,), int64.
        position_ids: Shape (T,), int64; 0 at the first token of every example.
        cu_seqlens: Shape (N + 1,), int32, 0 first and T last: example i is cu[i] to cu[i + 1].
        longest: Positions of the longest example.
        supervised: Shape (S,), int64: the positions whose next token is a target.
        labels: Shape (S,), int64: those targets.
        counts: Targets of each example given, in order; they add up to S.
    """

    ids: Tensor
    position_ids: Tensor
    cu_seqlens: Tensor
    longest: int
    supervised: Tensor
    labels: Tensor
    counts: tuple[int, ...]

    @property
    def positions(self) -> int:
        """T: real tokens that go through the model."""
        return self.ids.shape[0]

    def to(self, device: torch.device) -> "PackedRow":
        """The same row with its tensors on another device; the copies do not wait."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "PackedRow":
        """The same row in memory that a GPU copies from while others compute."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "PackedRow":
        tensors: dict[str, Any] = {
            field.name: change(getattr(self, field.name))
            for field in fields(self)
            if isinstance(getattr(self, field.name), Tensor)
        }
        return replace(self, **tensors)


def pack_row(examples: Sequence[Tokens]) -> PackedRow:
    """Join examples into one row, in the order given.

    Raises:
        ValueError: no example has two tokens, so there is nothing to feed.
    """
    kept = [example for example in examples if len(example.token_ids) > 1]
    if not kept:
        raise ValueError("a packed row needs at least one example of two tokens or more")
    lengths = np.array([len(example.token_ids) for example in kept])
    ends = lengths.cumsum()
    tokens = _joined((example.token_ids for example in kept), np.int64, ends[-1])
    marks = _joined((example.supervised for example in kept), np.bool_, ends[-1])
    # marks and targets are those of the next token, exactly as padding and shifting has them
    inputs, targets = np.ones(ends[-1], bool), np.ones(ends[-1], bool)
    inputs[ends - 1] = targets[ends - lengths] = False
    sizes = lengths - 1
    bounds = np.concatenate([[0], sizes.cumsum()])
    supervised = marks[targets].nonzero()[0]
    return PackedRow(
        ids=torch.from_numpy(tokens[inputs]),
        position_ids=torch.from_numpy(np.arange(bounds[-1]) - np.repeat(bounds[:-1], sizes)),
        cu_seqlens=torch.from_numpy(bounds.astype(np.int32)),
        longest=int(sizes.max()),
        supervised=torch.from_numpy(supervised.astype(np.int64)),
        labels=torch.from_numpy(tokens[targets][supervised]),
        counts=tuple(sum(example.supervised[1:]) for example in examples),
    )


def _joined(parts: Iterable[Sequence[int]], kind: type, count: int) -> Any:
    return np.fromiter(chain.from_iterable(parts), kind, count)


def split_rows(examples: Sequence[AnyTokens], token_budget: int) -> list[tuple[AnyTokens, ...]]:
    """Share examples out over as few rows as the budget allows, about equally long.

    The longest examples are placed first, each into the emptiest row where it fits; one longer
    than the budget gets a row of its own. The result depends on the examples alone, not on their
    order.

    Args:
        examples: Those of one optimizer step; single-token ones are left out.
        token_budget: Positions per row.
    """
    kept = [example for example in examples if len(example.token_ids) > 1]
    kept.sort(key=lambda example: (-len(example.token_ids), example.problem_id, example.token_ids))
    total = sum(len(example.token_ids) - 1 for example in kept)
    rows: list[list[AnyTokens]] = [[] for _ in range(-(-total // token_budget))]
    used = [0] * len(rows)
    for example in kept:
        size = len(example.token_ids) - 1
        emptiest = min(range(len(rows)), key=used.__getitem__)
        if rows[emptiest] and used[emptiest] + size > token_budget:
            emptiest = len(rows)
            rows.append([])
            used.append(0)
        rows[emptiest].append(example)
        used[emptiest] += size
    return [tuple(row) for row in rows if row]
