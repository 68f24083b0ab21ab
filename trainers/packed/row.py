"""Examples joined into one row: ids, positions that start again, and where each example ends."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Protocol, TypeVar

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
        tensors = {
            field.name: getattr(self, field.name).to(device, non_blocking=True)
            for field in fields(self)
            if isinstance(getattr(self, field.name), Tensor)
        }
        return replace(self, **tensors)


def pack_row(examples: Sequence[Tokens]) -> PackedRow:
    """Join examples into one row, in the order given.

    Raises:
        ValueError: no example has two tokens, so there is nothing to feed.
    """
    lengths = [len(example.token_ids) - 1 for example in examples if len(example.token_ids) > 1]
    if not lengths:
        raise ValueError("a packed row needs at least one example of two tokens or more")
    ids = [token for example in examples for token in example.token_ids[:-1]]
    # marks and targets are those of the next token, exactly as padding and shifting has them
    marks = [mark for example in examples for mark in example.supervised[1:]]
    targets = [token for example in examples for token in example.token_ids[1:]]
    supervised = torch.tensor(marks, dtype=torch.bool).nonzero().squeeze(1)
    return PackedRow(
        ids=torch.tensor(ids, dtype=torch.int64),
        position_ids=torch.cat([torch.arange(length) for length in lengths]),
        cu_seqlens=torch.tensor([0, *accumulate(lengths)], dtype=torch.int32),
        longest=max(lengths),
        supervised=supervised,
        labels=torch.tensor(targets, dtype=torch.int64)[supervised],
        counts=tuple(sum(example.supervised[1:]) for example in examples),
    )


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
