"""Supervised fine-tuning: raise the log-probability of worked solutions.

    a5ctl run sft --size 256

One update minimises  L = -(1/N) sum_i sum_t m_it log p(y_it | x_i, y_i<t)  over a batch, where
m marks the supervised tokens and N counts them in the whole batch, so that the split into
micro-batches never changes the loss or its gradient.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.config.schema import Normalization, TrainSettings
from trainers.batching import BatchPlan, split_microbatches
from trainers.distributed.share import share_of
from trainers.distributed.world import ALONE, World
from trainers.objectives import sft_loss
from trainers.optimization import LearningRate, Optimizer
from trainers.policy import Policy
from trainers.tokenization import Example, collate, padding_id


@dataclass(slots=True)
class SFT:
    """The method: given a step number, update the policy once.

    Attributes:
        policy: What learns.
        optimizer: AdamW over its parameters.
        learning_rate: As a function of the step.
        examples: Tokenized training examples.
        plan: Which examples each step sees.
        settings: Normalization and micro-batch budget.
        microbatch_tokens: Token positions per forward pass.
        world: The processes that share the work of an update.
    """

    policy: Policy
    optimizer: Optimizer
    learning_rate: LearningRate
    examples: Sequence[Example]
    plan: BatchPlan
    settings: TrainSettings
    microbatch_tokens: int
    world: World = ALONE

    @property
    def total_steps(self) -> int:
        """Updates of the whole run."""
        return self.plan.total

    def update(self, step: int) -> dict[str, float]:
        """One optimizer update over the batch of this step, and what happened."""
        started = time.perf_counter()
        batch = [self.examples[index] for index in self.plan.batch(step)]
        denominator = self._denominator(batch)
        share = share_of(self.world.rank, self.world.size, batch, self._split)
        loss = positions = 0.0
        for microbatch in share.microbatches:
            part, size = self._accumulate(microbatch, denominator)
            loss += part
            positions += size
        for microbatch in share.idle:
            self._accumulate(microbatch, math.inf)
        loss, positions = self.world.sum(loss, positions)
        rate = self.learning_rate.at(step)
        grad_norm = self.optimizer.update(rate)
        return self._metrics(step, batch, loss, grad_norm, rate, positions, started)

    def _split(self, examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
        return split_microbatches(examples, self.microbatch_tokens)

    def _accumulate(self, microbatch: Sequence[Example], denominator: float) -> tuple[float, int]:
        ids, labels = collate(microbatch, padding_id(self.policy.tokenizer))
        device = self.policy.device
        log_probs = self.policy.supervised_log_probs(ids.to(device), labels.to(device))
        loss = sft_loss(log_probs, denominator)
        loss.backward()
        return float(loss.detach()), len(microbatch) * (ids.shape[1] + 1)

    def _denominator(self, batch: Sequence[Example]) -> float:
        if self.settings.normalization is Normalization.TOKENS:
            return float(sum(example.supervised_count for example in batch))
        return self.settings.normalize_constant * len(batch)

    def _metrics(
        self,
        step: int,
        batch: Sequence[Example],
        loss: float,
        grad_norm: float,
        rate: float,
        positions: float,
        started: float,
    ) -> dict[str, float]:
        tokens = sum(len(example.token_ids) for example in batch)
        supervised = sum(example.supervised_count for example in batch)
        seconds = time.perf_counter() - started
        return {
            "loss": loss,
            "grad_norm": grad_norm,
            "lr": rate,
            "epoch": self.plan.epoch_at(step),
            "tokens": float(tokens),
            "supervised_fraction": supervised / tokens,
            "padding_share": 1.0 - tokens / positions,
            "step_seconds": seconds,
            "tokens_per_second": tokens / seconds,
        }
