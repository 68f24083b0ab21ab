"""Examples side by side in one row, with the beginning that all of them share stored once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, takewhile

import torch
from torch import Tensor

from trainers.tokenization import Example


@dataclass(frozen=True, slots=False)
class PackedRow:
    """The inputs of a micro-batch as one row: the shared prefix, then every example's own tokens.

    Under a causal mask the hidden states of a prefix depend on nothing behind it, so examples that
    begin alike may share them; their gradients add up in it. The last token of an example is a
    label only and never an input.

    Attributes:
        ids: Shape (T,), int64; behind the last example it may be filled up with zeros.
        positions: Shape (T,), int64: each token's place in its own example.
        prefix: Tokens at the start of the row that belong to every example.
        lengths: Tokens behind the prefix, per example.
        supervised: Shape (S,), int64: places in the row whose next token is a target, ascending.
        labels: Shape (S,), int64: those next tokens.
        owners: For each target, the index of its example.
        grain: Tokens and targets are computed in multiples of it.
    """

    ids: Tensor
    positions: Tensor
    prefix: int
    lengths: tuple[int, ...]
    supervised: Tensor
    labels: Tensor
    owners: Tensor
    grain: int = 1

    @property
    def tokens(self) -> int:
        """T, the tokens that are computed."""
        return len(self.ids)

    @property
    def filled(self) -> int:
        """The first so many tokens are those of the examples."""
        return self.prefix + sum(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest example behind the prefix, in multiples of the grain."""
        return _round_up(max(self.lengths), self.grain)

    @cached_property
    def read(self) -> Tensor:
        """`supervised` in multiples of the grain: filled up with a place that no example has."""
        spare = _round_up(len(self.supervised), self.grain) - len(self.supervised)
        return torch.cat([self.supervised, torch.full((spare,), self.tokens - 1)])

    @cached_property
    def to_padded(self) -> Tensor:
        """Shape (B * L,): for each cell of the padded form its place in the row; 0 where empty."""
        cells = torch.arange(self.longest).expand(len(self.lengths), -1)
        return torch.where(self._filled, self._starts[:, None] + cells, 0).reshape(-1)

    @cached_property
    def from_padded(self) -> Tensor:
        """Shape (T - prefix,): the cell of the padded form that holds each token."""
        return self._filled.reshape(-1).nonzero()[:, 0]

    @cached_property
    def _filled(self) -> Tensor:
        return torch.arange(self.longest) < torch.tensor(self.lengths)[:, None]

    @cached_property
    def _starts(self) -> Tensor:
        return torch.tensor([0, *accumulate(self.lengths)][:-1]) + self.prefix


def pack(examples: Sequence[Example], *, share_prefix: bool = True, grain: int = 1) -> PackedRow:
    """Lay examples out in one row.

    Args:
        examples: Of at least two tokens each.
        share_prefix: Store the tokens that all of them begin with only once.
        grain: Fill up tokens and targets to multiples of it, so that their numbers recur.

    Raises:
        ValueError: an example has fewer than two tokens, so there is nothing to predict.
    """
    short = next((e for e in examples if len(e.token_ids) < 2), None)
    if short is not None:
        raise ValueError(f"example {short.problem_id} has nothing to predict: fewer than 2 tokens")
    prefix = _shared_prefix(examples) if share_prefix and len(examples) > 1 else 0
    ids = list(examples[0].token_ids[:prefix])
    positions = list(range(prefix))
    supervised: list[int] = []
    labels: list[int] = []
    owners: list[int] = []
    for owner, example in enumerate(examples):
        shift = len(ids) - prefix
        end = len(example.token_ids) - 1
        ids += example.token_ids[prefix:end]
        positions += range(prefix, end)
        for place in range(prefix, end):
            if example.supervised[place + 1]:
                supervised.append(shift + place)
                labels.append(example.token_ids[place + 1])
                owners.append(owner)
    # a target that is filled in needs a place that no example has
    spare = _round_up(len(ids) + bool(len(labels) % grain), grain) - len(ids)
    ids += [0] * spare
    positions += [0] * spare
    return PackedRow(
        ids=torch.tensor(ids, dtype=torch.int64),
        positions=torch.tensor(positions, dtype=torch.int64),
        prefix=prefix,
        lengths=tuple(len(e.token_ids) - 1 - prefix for e in examples),
        supervised=torch.tensor(supervised, dtype=torch.int64),
        labels=torch.tensor(labels, dtype=torch.int64),
        owners=torch.tensor(owners, dtype=torch.int64),
        grain=grain,
    )


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _shared_prefix(examples: Sequence[Example]) -> int:
    """Common first tokens, short enough that no target is predicted inside of them."""
    limit = min(min(_first_target(e), len(e.token_ids) - 1) for e in examples) - 1
    columns = zip(*(example.token_ids[:limit] for example in examples), strict=True)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def _first_target(example: Example) -> int:
    """Place of the first supervised token that something predicts; the length where none is."""
    return next((i for i, on in enumerate(example.supervised) if on and i), len(example.token_ids))
