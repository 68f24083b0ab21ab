"""Direct preference optimization: make chosen responses likelier than rejected ones.

    a5ctl run dpo --init sft-128-k3f9 --pairs pairs.jsonl

One update minimises, over a batch of P pairs (Rafailov et al. 2023, equation 7),

    L = -(1/P) sum_i log sigmoid(beta h_i),
    h = [log p(chosen) - log p_ref(chosen)] - [log p(rejected) - log p_ref(rejected)],

or the squared distance of h from 1 / (2 beta) (IPO: Azar et al. 2023, equation 17). A term needs
the sums over two whole responses, so it cannot be taken token by token as the passes over the
vocabulary want it. Its gradient can: it is that of sum_i w_i (log p(chosen) - log p(rejected))
with w_i = (1/P) dl/dh_i held fixed. A first pass without gradients finds h, a second one follows.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.config.methods import DpoSettings
from trainers.accumulated import Accumulated, shared_fraction, work_figures
from trainers.batching import BatchPlan
from trainers.objectives import PreferenceTerms, WeightedLogProbLoss, preference_coefficients
from trainers.optimization import LearningRate, Optimizer
from trainers.out_of_memory import OutOfMemoryGuard
from trainers.pair_batches import PairExample, response_log_probs, responses_of, split_pairs
from trainers.planned import Planned
from trainers.policy import Policy


@dataclass(frozen=True, slots=True)
class _Passes:
    """What both passes of one step gave; log-probabilities as (P, 2)."""

    terms: PreferenceTerms
    log_probs: Tensor
    parts: Sequence[Accumulated]
    seconds: float


@dataclass(slots=True)
class DPO(Planned):
    """The method: given a step number, update the policy once.

    Attributes:
        policy: What learns.
        optimizer: AdamW over its parameters.
        learning_rate: As a function of the step.
        pairs: Tokenized pairs.
        reference: Shape (pairs, 2), float64: log-probabilities of chosen and rejected responses
            under the policy as it was before the first update.
        plan: Which pairs each step sees.
        settings: beta, loss, label smoothing.
        microbatch_tokens: Token positions per forward pass.
        guard: Redoes a step that ran out of memory, with fewer positions per pass.
    """

    policy: Policy
    optimizer: Optimizer
    learning_rate: LearningRate
    pairs: Sequence[PairExample]
    reference: Tensor
    plan: BatchPlan
    settings: DpoSettings
    microbatch_tokens: int
    guard: OutOfMemoryGuard = field(default_factory=OutOfMemoryGuard)

    @property
    def total_steps(self) -> int:
        """Updates of the whole run."""
        return self.plan.total

    def ready(self, step: int) -> bool:
        """All that an update needs is known from the start."""
        return step <= self.total_steps

    def update(self, step: int) -> dict[str, float]:
        """One optimizer update over the pairs of this step, and what happened."""
        started = time.perf_counter()
        indices = self.plan.batch(step)
        batch, reference = [self.pairs[index] for index in indices], self.reference[[*indices]]
        passes, self.microbatch_tokens = self.guard.run(
            self.policy,
            lambda tokens: self._gradients(batch, reference, tokens),
            step=step,
            budget=self.microbatch_tokens,
            longest=max(pair.longest for pair in batch),
        )
        rate = self.learning_rate.at(step)
        grad_norm = self.optimizer.update(rate, step)
        return {
            "loss": float(passes.terms.losses.mean()),
            "grad_norm": grad_norm,
            "lr": rate,
            "epoch": self.plan.epoch_at(step),
            **_preferences(passes),
            **_work(batch, passes, time.perf_counter() - started),
        }

    def _gradients(
        self, batch: Sequence[PairExample], reference: Tensor, microbatch_tokens: int
    ) -> _Passes:
        """Find what every pair weighs, then accumulate the gradient under these weights."""
        started = time.perf_counter()
        microbatches = split_pairs(self.policy, batch, microbatch_tokens)
        log_probs = response_log_probs(self.policy, microbatches)
        seconds = time.perf_counter() - started
        settings = self.settings
        terms = preference_coefficients(
            chosen=log_probs[:, 0],
            rejected=log_probs[:, 1],
            ref_chosen=reference[:, 0],
            ref_rejected=reference[:, 1],
            beta=settings.beta,
            loss=settings.loss,
            label_smoothing=settings.label_smoothing,
        )
        weights = torch.stack([-terms.slopes, terms.slopes], 1).flatten() / len(batch)
        self.policy.ahead([part.examples for part in microbatches])
        parts = [
            self.policy.accumulate(
                part.examples,
                WeightedLogProbLoss(weights[part.places].repeat_interleave(part.counts)),
            )
            for part in microbatches
        ]
        return _Passes(terms, log_probs, parts, seconds)

    def problem_ids(self, step: int) -> list[str]:
        """Problems behind update `step`."""
        return [self.pairs[index].problem_id for index in self.plan.batch(step)]


def _preferences(passes: _Passes) -> dict[str, float]:
    """How the policy stands to the pairs before the update; log-probabilities per response."""
    terms, log_probs = passes.terms, passes.log_probs
    preferred = torch.sign(terms.margins) / 2 + 0.5  # a policy that makes no difference: half
    return {
        "reward_chosen": float(terms.chosen_rewards.mean()),
        "reward_rejected": float(terms.rejected_rewards.mean()),
        "margin": float((terms.chosen_rewards - terms.rejected_rewards).mean()),
        "preference_accuracy": float(preferred.mean()),
        "log_prob_chosen": float(log_probs[:, 0].mean()),
        "log_prob_rejected": float(log_probs[:, 1].mean()),
    }


def _work(batch: Sequence[PairExample], passes: _Passes, seconds: float) -> dict[str, float]:
    """What the step took; tokens count once, though two passes read them."""
    examples = responses_of(batch)
    positions = sum(part.positions for part in passes.parts)
    padding = sum(part.padding for part in passes.parts)
    figures = work_figures(examples, positions, padding)
    return {
        **figures,
        "shared_fraction": shared_fraction(examples, positions, padding),
        "log_prob_seconds": passes.seconds,
        "step_seconds": seconds,
        "tokens_per_second": figures["tokens"] / seconds,
    }
