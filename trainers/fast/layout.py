"""Examples side by side in one row, with what they begin with alike stored once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, groupby, takewhile

import torch
from torch import Tensor

from trainers.tokenization import Example


@dataclass(frozen=True, slots=False)
class Block:
    """Sequences side by side in the row that all continue the same tokens.

    Attributes:
        start: Place of the first token in the row.
        lengths: Tokens of each sequence.
        context: Where in the row the tokens are that every sequence continues, in order.
        grain: Sequences are computed in multiples of so many tokens.
    """

    start: int
    lengths: tuple[int, ...]
    context: tuple[range, ...] = ()
    grain: int = 1

    @property
    def end(self) -> int:
        """Place behind the last token."""
        return self.start + sum(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence, in multiples of the grain."""
        return _round_up(max(self.lengths), self.grain)

    @cached_property
    def to_padded(self) -> Tensor:
        """Shape (B * L,): for each cell of the padded form its place in the row; 0 where empty."""
        cells = torch.arange(self.longest).expand(len(self.lengths), -1)
        return torch.where(self._filled, self._starts[:, None] + cells, 0).reshape(-1)

    @cached_property
    def from_padded(self) -> Tensor:
        """Shape (end - start,): the cell of the padded form that holds each token."""
        return self._filled.reshape(-1).nonzero()[:, 0]

    @cached_property
    def _filled(self) -> Tensor:
        return torch.arange(self.longest) < torch.tensor(self.lengths)[:, None]

    @cached_property
    def _starts(self) -> Tensor:
        return torch.tensor([0, *accumulate(self.lengths)][:-1]) + self.start


@dataclass(frozen=True, slots=False)
class PackedRow:
    """The inputs of a micro-batch as one row: what examples share, then every example's own tokens.

    Under a causal mask the hidden states of a beginning depend on nothing behind it, so examples
    that begin alike may share them; their gradients add up in it. First come the tokens that all
    examples begin with (a template), then what those with the same prompt share beyond it. The
    last token of an example is a label only and never an input.

    Attributes:
        ids: Shape (T,), int64; behind the last example it may be filled up with zeros.
        positions: Shape (T,), int64: each token's place in its own example.
        prefix: Tokens at the start of the row that belong to every example.
        blocks: All tokens of the row, each block behind its context.
        spans: For each example, where in the row its inputs are, in order.
        supervised: Shape (S,), int64: places in the row whose next token is a target, ascending.
        labels: Shape (S,), int64: those next tokens.
        owners: For each target, the index of its example.
        grain: Tokens and targets are computed in multiples of it.
    """

    ids: Tensor
    positions: Tensor
    prefix: int
    blocks: tuple[Block, ...]
    spans: tuple[tuple[range, ...], ...]
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
        return self.blocks[-1].end

    @cached_property
    def read(self) -> Tensor:
        """`supervised` in multiples of the grain: filled up with a place that no example has.

        Shape (R,), int64, where R is at least the number of supervised places.
        """
        spare = _round_up(len(self.supervised), self.grain) - len(self.supervised)
        return torch.cat([self.supervised, torch.full((spare,), self.tokens - 1)])

    @property
    def shared(self) -> int:
        """Tokens at the start of the row that blocks have as their context."""
        return max((part.stop for block in self.blocks for part in block.context), default=0)


def pack(examples: Sequence[Example], *, share_prefix: bool = True, grain: int = 1) -> PackedRow:
    """Lay examples out in one row.

    Args:
        examples: Of at least two tokens each. Those that share a prompt beyond what all share must
            follow one another for it to be stored once.
        share_prefix: Store the tokens that examples begin with alike only once.
        grain: Fill up tokens and targets to multiples of it, so that their numbers recur.

    Raises:
        ValueError: an example has fewer than two tokens, so there is nothing to predict.
    """
    short = next((e for e in examples if len(e.token_ids) < 2), None)
    if short is not None:
        raise ValueError(f"example {short.problem_id} has nothing to predict: fewer than 2 tokens")
    row = _Row(grain)
    shared = _shared_prefix(examples) if share_prefix and len(examples) > 1 else 0
    runs = _runs(examples, shared) if share_prefix else [_Run(examples, 0)]
    common = row.add([(examples[0], 0, shared)], ()) if shared else []
    context = tuple(common)
    prompts = iter(
        row.add(
            [(run.examples[0], shared, run.prefix) for run in runs if run.prefix > shared], context
        )
    )
    for run in runs:
        above = (*context, next(prompts)) if run.prefix > shared else context
        row.add_examples(run, above)
    return row.finish(shared)


def shared_prompts(examples: Sequence[Example]) -> list[list[Example]]:
    """Examples that follow one another and have the same prompt, together."""
    return [list(same) for _, same in groupby(examples, key=prompt_of)]


def prompt_of(example: Example) -> tuple[int, ...]:
    """The tokens of its prompt."""
    return example.token_ids[: example.prompt_length]


@dataclass(frozen=True, slots=True)
class _Run:
    """Examples that follow one another, and how many tokens they begin with alike."""

    examples: Sequence[Example]
    prefix: int


@dataclass(slots=True)
class _Row:
    """A row in the making."""

    grain: int
    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    spans: list[tuple[range, ...]] = field(default_factory=list)
    supervised: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)

    def add(
        self, parts: Sequence[tuple[Example, int, int]], context: tuple[range, ...]
    ) -> list[range]:
        """A block of tokens [start, end) of examples; returns where each of them is."""
        added = []
        for example, start, end in parts:
            added.append(range(len(self.ids), len(self.ids) + end - start))
            self.ids += example.token_ids[start:end]
            self.positions += range(start, end)
        if added:
            self.blocks.append(Block(added[0].start, tuple(map(len, added)), context, self.grain))
        return added

    def add_examples(self, run: _Run, context: tuple[range, ...]) -> None:
        parts = [(example, run.prefix, len(example.token_ids) - 1) for example in run.examples]
        for example, own in zip(run.examples, self.add(parts, context), strict=True):
            shift = own.start - run.prefix
            for place in range(run.prefix, len(example.token_ids) - 1):
                if example.supervised[place + 1]:
                    self.supervised.append(shift + place)
                    self.labels.append(example.token_ids[place + 1])
                    self.owners.append(len(self.spans))
            self.spans.append((*context, own))

    def finish(self, prefix: int) -> PackedRow:
        # a target that is filled in needs a place that no example has
        wanted = len(self.ids) + bool(len(self.labels) % self.grain)
        spare = [0] * (_round_up(wanted, self.grain) - len(self.ids))
        return PackedRow(
            ids=_integers(self.ids + spare),
            positions=_integers(self.positions + spare),
            prefix=prefix,
            blocks=tuple(self.blocks),
            spans=tuple(self.spans),
            supervised=_integers(self.supervised),
            labels=_integers(self.labels),
            owners=_integers(self.owners),
            grain=self.grain,
        )


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _integers(values: list[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def _runs(examples: Sequence[Example], shared: int) -> list[_Run]:
    """Prompts with several examples, and between them the examples that share what all do."""
    runs: list[_Run] = []
    loose: list[Example] = []
    for same in shared_prompts(examples):
        prefix = _shared_prefix(same) if len(same) > 1 else 0
        if prefix <= shared:
            loose += same
            continue
        if loose:
            runs.append(_Run(loose, shared))
        runs.append(_Run(same, prefix))
        loose = []
    return [*runs, _Run(loose, shared)] if loose else runs


def _shared_prefix(examples: Sequence[Example]) -> int:
    """Common first tokens, short enough that no target is predicted inside of them."""
    limit = min(min(_first_target(e), len(e.token_ids) - 1) for e in examples) - 1
    columns = zip(*(example.token_ids[:limit] for example in examples), strict=True)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def _first_target(example: Example) -> int:
    """Place of the first supervised token that something predicts; the length where none is."""
    return next((i for i, on in enumerate(example.supervised) if on and i), len(example.token_ids))
