"""Which questions each rollout batch asks."""

import random
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class QuestionOrder:
    """The questions in shuffled order, epoch after epoch, as a pure function: no cursor is kept.

    Attributes:
        count: Training problems.
        seed: Decides the order within each epoch.
    """

    count: int
    seed: int

    def batch(self, number: int, size: int) -> tuple[int, ...]:
        """Indices of the questions of batch `number`, counted from 0, if all have `size`."""
        return self.take(number * size, size)

    def take(self, start: int, size: int) -> tuple[int, ...]:
        """`size` questions from place `start` of the endless order.

        Every epoch holds every question once. What reaches over the end of an epoch, or is larger
        than one, may hold a question more than once.
        """
        epoch, position = divmod(start, self.count)
        found: list[int] = []
        while len(found) < size:
            order = _epoch_order(self.count, self.seed, epoch)
            found += order[position : position + size - len(found)]
            epoch, position = epoch + 1, 0
        return tuple(found)


@lru_cache(maxsize=4)
def _epoch_order(count: int, seed: int, epoch: int) -> tuple[int, ...]:
    order = list(range(count))
    random.Random(f"questions-{seed}-{epoch}").shuffle(order)
    return tuple(order)
