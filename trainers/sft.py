"""Supervised fine-tuning: raise the log-probability of worked solutions.

    a5ctl run sft --size 256

One update minimises  L = -(1/N) sum_i sum_t m_it log p(y_it | x_i, y_i<t)  over a batch, where
m marks the supervised tokens and N counts them in the whole batch, so that the split into
micro-batches never changes the loss or its gradient.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.config.schema import Normalization, TrainSettings
from trainers.accumulated import Accumulated, Settled, settled, shared_fraction, work_figures
from trainers.batching import BatchPlan
from trainers.distributed.share import Share, share_of
from trainers.distributed.world import ALONE, World
from trainers.objectives import SftLoss
from trainers.optimization import LearningRate, Optimizer
from trainers.out_of_memory import OutOfMemoryGuard
from trainers.planned import Planned
from trainers.policy import Policy
from trainers.tokenization import Example


@dataclass(slots=True)
class SFT(Planned):
    """The method: given a step number, update the policy once.

    Attributes:
        policy: What learns.
        optimizer: AdamW over its parameters.
        learning_rate: As a function of the step.
        examples: Tokenized training examples.
        plan: Which examples each step sees.
        settings: Normalization and micro-batch budget.
        microbatch_tokens: Token positions per forward pass.
        guard: Redoes a step that ran out of memory, with fewer positions per pass.
        world: The processes that share the work of an update.
        before: Updates of the run before the first one of the plan.
    """

    policy: Policy
    optimizer: Optimizer
    learning_rate: LearningRate
    examples: Sequence[Example]
    plan: BatchPlan
    settings: TrainSettings
    microbatch_tokens: int
    guard: OutOfMemoryGuard = field(default_factory=OutOfMemoryGuard)
    world: World = ALONE
    before: int = 0

    @property
    def total_steps(self) -> int:
        """Updates of the whole run."""
        return self.before + self.plan.total

    def ready(self, step: int) -> bool:
        """All that an update needs is known from the start."""
        return step <= self.total_steps

    def update(self, step: int) -> dict[str, float]:
        """One optimizer update over the batch of this step, and what happened."""
        started = time.perf_counter()
        batch = [self.examples[index] for index in self.plan.batch(step - self.before)]
        denominator = self._denominator(batch)
        parts, self.microbatch_tokens = self.guard.run(
            self.policy,
            lambda tokens: self._gradients(batch, denominator, tokens),
            step=step,
            budget=self.microbatch_tokens,
            longest=max(len(example.token_ids) for example in batch),
        )
        self._look_ahead(step + 1)
        rate = self.learning_rate.at(step - self.before)
        grad_norm = self.optimizer.update(rate, step)
        return self._metrics(step, batch, settled(parts), grad_norm, rate, started)

    def _gradients(
        self, batch: Sequence[Example], denominator: float, microbatch_tokens: int
    ) -> list[Accumulated]:
        """Accumulate the gradients of one step, or of this process' share in it."""
        share = self._share(batch, microbatch_tokens)
        self.policy.ahead(share.microbatches)
        for microbatch in share.idle:
            self.policy.accumulate(microbatch, SftLoss(math.inf))
        loss = SftLoss(denominator)
        return [self.policy.accumulate(microbatch, loss) for microbatch in share.microbatches]

    def _share(self, batch: Sequence[Example], microbatch_tokens: int) -> Share:
        return share_of(
            self.world,
            batch,
            lambda examples: self.policy.split_apart(examples, microbatch_tokens),
        )

    def _look_ahead(self, step: int) -> None:
        """Let rows of the next update be packed while the device still works on this one."""
        if self.policy.packed and step <= self.total_steps:
            batch = [self.examples[index] for index in self.plan.batch(step - self.before)]
            self.policy.ahead(self._share(batch, self.microbatch_tokens).microbatches)

    def _denominator(self, batch: Sequence[Example]) -> float:
        if self.settings.normalization is Normalization.TOKENS:
            return float(sum(example.supervised_count for example in batch))
        return self.settings.normalize_constant * len(batch)

    def _metrics(
        self,
        step: int,
        batch: Sequence[Example],
        parts: Sequence[Settled],
        grad_norm: float,
        rate: float,
        started: float,
    ) -> dict[str, float]:
        loss, positions, padding = self.world.sum(
            sum(part.loss for part in parts),
            sum(part.positions for part in parts),
            sum(part.padding for part in parts),
        )
        figures = work_figures(batch, positions, padding)
        seconds = time.perf_counter() - started
        return {
            "loss": loss,
            "grad_norm": grad_norm,
            "lr": rate,
            "epoch": self.plan.epoch_at(step - self.before),
            **figures,
            "shared_fraction": shared_fraction(batch, positions, padding),
            "step_seconds": seconds,
            "tokens_per_second": figures["tokens"] / seconds,
        }

    def problem_ids(self, step: int) -> list[str]:
        """Problems behind update `step`."""
        return [self.examples[index].problem_id for index in self.plan.batch(step - self.before)]
