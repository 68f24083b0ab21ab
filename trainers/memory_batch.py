"""How large the micro-batches of a run get: known from its examples before it begins."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trainers.packed.row import split_rows
from trainers.tokenization import Example

_DRAWS = 32


class Microbatches(Protocol):
    """What an estimate asks of the examples."""

    def largest(self, token_budget: int) -> tuple[int, int]:
        """Positions and targets of the largest micro-batch under a budget."""
        ...


@dataclass(frozen=True, slots=True)
class AnyBatch:
    """Nothing is known but how many tokens are targets: the budget may be filled.

    Attributes:
        supervised: Share of the tokens that are targets.
    """

    supervised: float = 0.75

    def largest(self, token_budget: int) -> tuple[int, int]:
        """The whole budget."""
        return token_budget, max(1, int(self.supervised * token_budget))


ANY_BATCH = AnyBatch()


@dataclass(frozen=True, slots=True, eq=False)
class DrawnBatches:
    """Batches drawn from the examples as steps draw them, and split as steps split them.

    Attributes:
        examples: All of a run.
        batch_size: How many an update sees.
    """

    examples: Sequence[Example]
    batch_size: int
    _known: dict[int, tuple[int, int]] = field(default_factory=dict, repr=False)

    def largest(self, token_budget: int) -> tuple[int, int]:
        """Of 32 batches, whose order of examples is none that a run has."""
        if token_budget not in self._known:
            self._known[token_budget] = _largest(self, token_budget)
        return self._known[token_budget]


def _largest(batches: DrawnBatches, token_budget: int) -> tuple[int, int]:
    draw = random.Random(0)
    most = (1, 1)
    for _ in range(_DRAWS):
        for part in split_rows(_batch(batches, draw), token_budget):
            positions = sum(len(example.token_ids) - 1 for example in part)
            targets = sum(example.supervised_count for example in part)
            most = max(most, (positions, targets))
    return most


def _batch(batches: DrawnBatches, draw: random.Random) -> Sequence[Example]:
    """With repeats where the examples are only samples of what a run will make."""
    examples, size = batches.examples, batches.batch_size
    if size > len(examples):
        return draw.choices(examples, k=size)
    return draw.sample(examples, size)
