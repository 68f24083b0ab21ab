"""Group-relative policy optimization: learn from how a response compares with its siblings.

    a5ctl run grpo --init sft-128-k3f9 --group-size 8 --rollout-batch 256

One batch: ask each of Q questions G times with the policy as it is, reward every response, and let
A = (r - mean r) / (std r + eps) over its group say how much better than its siblings it was. Then
update the policy to minimise  sum_i sum_t w_i (-min(q_it A_i, clip(q_it, 1 - low, 1 + high) A_i)
+ kl k3_it)  with q = p / p_old and w by the length normalization (DeepSeekMath, arXiv 2402.03300;
Dr. GRPO, 2503.20783; DAPO, 2503.14476), once (on-policy) or several times.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.config.methods import GrpoSettings
from core.rollouts import Rollout
from trainers.grpo_batch import ScoredBatch, batch_figures
from trainers.grpo_gradients import Gradients
from trainers.grpo_source import RolloutSource, Sampled
from trainers.objectives import learning_signal
from trainers.optimization import LearningRate, Optimizer
from trainers.policy import Policy
from trainers.rollouts import example_of, reward_parts, total_rewards
from trainers.rollouts_facts import rollout_facts


def score(sampled: Sampled, settings: GrpoSettings, max_tokens: int) -> ScoredBatch:
    """Rewards, and how each compares with its group.

    Args:
        sampled: Graded rollouts.
        settings: Parts of the reward, and how advantages are made of it.
        max_tokens: Cap on the tokens of a response.
    """
    rollouts = sampled.batch.rollouts
    parts = reward_parts(rollouts, settings, max_tokens)
    rewards = total_rewards(parts, settings)
    advantages, factors = learning_signal(rewards, sampled.batch.per_question, settings)
    return ScoredBatch(
        sampled,
        settings,
        max_tokens,
        examples=tuple(example_of(rollout) for rollout in rollouts),
        advantages=tuple(factors),
        figures=batch_figures(sampled, parts, rewards, advantages),
    )


@dataclass(slots=True)
class GRPO:
    """The method: sample and score a batch when one is due, and update the policy from it.

    Attributes:
        policy: What learns.
        optimizer: AdamW over its parameters.
        learning_rate: As a function of the step.
        settings: The method's own.
        max_tokens: Cap on the tokens of a response.
        seed: Decides which responses of a batch an update sees, where it does not see all.
        source: Asks questions, and keeps what was answered.
        gradients: Forward and backward passes, and the log-probabilities they compare with.
    """

    policy: Policy
    optimizer: Optimizer
    learning_rate: LearningRate
    settings: GrpoSettings
    max_tokens: int
    seed: int
    source: RolloutSource
    gradients: Gradients
    _batch: ScoredBatch | None = field(default=None, init=False)

    @property
    def total_steps(self) -> int:
        """Updates of the whole run."""
        return self.settings.steps * self.settings.updates_per_rollout

    def ready(self, step: int) -> bool:
        """Have the batch that update `step` learns from: rollouts, rewards, advantages."""
        if step > self.total_steps:
            return False
        if self._batch is None or not self._batch.serves(step):
            self._batch = None  # a stop may come at any time
            sampled = self.source.take(self.policy, step)
            batch = score(sampled, self.settings, self.max_tokens)
            if self.gradients.compare(batch, step):
                self.source.keep(batch.sampled)
            self._batch = batch
        return True

    def samplings_left(self, step: int) -> int:
        """Batches that begin behind update `step`."""
        return self.settings.steps - math.ceil(step / self.settings.updates_per_rollout)

    def update(self, step: int) -> dict[str, float]:
        """One optimizer update over the responses of this step, and what happened."""
        started = time.perf_counter()
        batch = self._batch
        if batch is None or not batch.serves(step):
            raise ValueError(f"update {step} was asked for before its rollouts were made ready")
        figures = self.gradients.accumulate(batch, batch.learning(step, self.seed), step)
        rate = self.learning_rate.at(step)
        figures |= {"grad_norm": self.optimizer.update(rate, step), "lr": rate}
        seconds = time.perf_counter() - started
        figures |= {"step_seconds": seconds, "update_seconds": seconds}
        figures["tokens_per_second"] = figures["tokens"] / seconds
        if step == batch.sampled.batch.first_step:
            figures |= batch.figures | rollout_facts(batch.sampled.batch.rollouts)
        return figures

    def ends_round(self, step: int) -> bool:
        """Batches follow one another too quickly to evaluate behind each."""
        return False

    def dump(self) -> None:
        """Batches follow from the step and are on disk: nothing else to remember."""

    def load(self, memory: dict[str, Any] | None, step: int) -> None:
        """Forget the batch at hand: it may belong to updates that never happened."""
        self._batch = None

    def problem_ids(self, step: int) -> Sequence[str]:
        """Problems behind update `step`; those first asked, where its batch is no longer here."""
        ids = [rollout.response.problem_id for rollout in self.rollouts(step)]
        return list(dict.fromkeys(ids)) or [p.id for p in self.source.first_asked(step)]

    def rollouts(self, step: int) -> Sequence[Rollout]:
        """Responses that update `step` learned from, while its batch is here."""
        batch = self._batch
        if batch is None or not batch.serves(step):
            return ()
        return [batch.sampled.batch.rollouts[row] for row in batch.learning(step, self.seed).rows]
