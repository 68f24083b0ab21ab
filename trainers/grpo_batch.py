"""One batch of rollouts as GRPO learns from it: who learns what, when, and with which weight."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from core.config.methods import GrpoSettings
from trainers.grpo_source import Sampled
from trainers.objectives import token_weights, zero_advantage_is_idle
from trainers.tokenization import Example


@dataclass(frozen=True, slots=True)
class Learning:
    """What one update learns from.

    Attributes:
        rows: Rollouts of the update, by their place in the batch.
        weights: What a token of each row weighs in the loss; rows that are masked have none.
        computed: The rows whose gradient has to be computed, ascending.
    """

    rows: tuple[int, ...]
    weights: dict[int, float]
    computed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """Rollouts with their rewards.

    Attributes:
        sampled: The rollouts, and what is kept with them: `old` and `reference`, log-probabilities
            of all response tokens of the batch, one rollout after the other.
        settings: Of the method.
        max_tokens: Cap on the tokens of a response.
        examples: Prompt and response of every rollout in tokens.
        advantages: What multiplies the log-probabilities of every rollout; raw rewards for the
            loss without a baseline.
        figures: What is recorded of the batch, once.
    """

    sampled: Sampled
    settings: GrpoSettings
    max_tokens: int
    examples: tuple[Example, ...]
    advantages: tuple[float, ...]
    figures: dict[str, float]

    def serves(self, step: int) -> bool:
        """Whether update `step` learns from this batch."""
        return (step - 1) // self.settings.updates_per_rollout == self.sampled.batch.number

    @property
    def spans(self) -> list[slice]:
        """Where the response tokens of every rollout stand among all of them."""
        counts = (example.supervised_count for example in self.examples)
        return [slice(*span) for span in pairwise(accumulate(counts, initial=0))]

    @property
    def computed(self) -> tuple[int, ...]:
        """All rows that some update has to compute."""
        return tuple(row for row in range(len(self.examples)) if self._computes(row))

    def learning(self, step: int, seed: int) -> Learning:
        """Who learns in update `step`: the next train batch of a pass in shuffled order.

        Rows that are skipped because their gradient is 0 count in the denominators, so that the
        update stays the same; rows that are masked count nowhere.
        """
        count = len(self.examples)
        size = self.settings.train_batch or count
        place = (step - 1) % self.settings.updates_per_rollout
        epoch, part = divmod(place, count // size)
        order = list(range(count))
        if size < count:
            name = f"rows-{seed}-{self.sampled.batch.number}-{epoch}"
            random.Random(name).shuffle(order)
        rows = sorted(order[part * size : (part + 1) * size])
        counted = [row for row in rows if not self._masked(row)]
        weights = token_weights(
            [self.examples[row].supervised_count for row in counted],
            self.settings.length_normalization,
            self.settings.normalize_constant or self.max_tokens,
        )
        return Learning(
            tuple(rows),
            dict(zip(counted, weights, strict=True)),
            tuple(row for row in counted if self._computes(row)),
        )

    def _masked(self, row: int) -> bool:
        return self.settings.mask_truncated and self.sampled.batch.rollouts[row].truncated

    def _computes(self, row: int) -> bool:
        if self._masked(row):
            return False
        idle = zero_advantage_is_idle(self.settings.loss, self.settings.kl)
        return self.advantages[row] != 0 or not (self.settings.skip_zero_advantage and idle)


def batch_figures(
    sampled: Sampled,
    parts: Mapping[str, Sequence[float]],
    rewards: Sequence[float],
    advantages: Sequence[float],
) -> dict[str, float]:
    """What is recorded of a batch's rewards, and how long it took to get there."""
    batch = sampled.batch
    figures = {f"reward_{name}": _mean(values) for name, values in parts.items()}
    return figures | {
        "reward": _mean(rewards),
        "zero_advantage_share": list(advantages).count(0.0) / len(advantages),
        "advantage_std": math.sqrt(_mean([advantage**2 for advantage in advantages])),
        "refills": float(sampled.refills),
        "generate_seconds": batch.generate_seconds,
        "grade_seconds": batch.grade_seconds,
        "sync_seconds": batch.sync_seconds,
    }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
