"""The passes of GRPO: log-probabilities to compare with, and the gradient of one update."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainers.accumulated import Accumulated, settled, work_figures
from trainers.frozen import freeze
from trainers.grpo_batch import Learning, ScoredBatch
from trainers.grpo_loss import WatchedLoss, watched_loss
from trainers.logit_rules import LogitRules
from trainers.out_of_memory import OutOfMemoryGuard
from trainers.policy import Policy
from trainers.tokenization import Example

_Done = list[tuple[Accumulated, WatchedLoss]]


@dataclass(slots=True)
class Gradients:
    """Computes for one run; holds the reference policy once there is need for it.

    Attributes:
        policy: What learns.
        rules: What responses were sampled under.
        load_reference: Loads the policy that the KL term ties to.
        microbatch_tokens: Token positions per forward pass.
        guard: Redoes passes that ran out of memory, with fewer positions.
    """

    policy: Policy
    rules: LogitRules
    load_reference: Callable[[], Policy]
    microbatch_tokens: int
    guard: OutOfMemoryGuard = field(default_factory=OutOfMemoryGuard)
    _reference: Policy | None = field(default=None, init=False)

    def compare(self, batch: ScoredBatch, step: int) -> bool:
        """Compute the log-probabilities that the batch's updates compare with, where they miss.

        Those of the policy itself only where a batch has several updates: with one of them the
        ratio is 1. Those of the reference only where there is a KL term.

        Returns:
            Something was computed, which is to be kept: the policy will have changed.
        """
        started = time.perf_counter()
        wanted: dict[str, Callable[[], Policy]] = {}
        if batch.settings.updates_per_rollout > 1:
            wanted["old"] = lambda: self.policy
        if batch.settings.kl > 0:
            wanted["reference"] = self._referred
        missing = wanted.keys() - batch.sampled.tensors.keys()
        for name in sorted(missing):
            batch.sampled.tensors[name] = self._log_probs(wanted[name](), batch, step)
        batch.figures["log_prob_seconds"] = time.perf_counter() - started
        return bool(missing)

    def accumulate(self, batch: ScoredBatch, learning: Learning, step: int) -> dict[str, float]:
        """Leave the gradient of one update in the parameters, and say what was seen."""
        examples = [batch.examples[row] for row in learning.computed]

        def passes(tokens: int) -> _Done:
            parts = self._split(batch.examples, learning.computed, tokens)
            self.policy.ahead([[batch.examples[row] for row in rows] for rows in parts])
            return [self._pass(batch, rows, learning) for rows in parts]

        done: _Done = []
        if examples:
            done, self.microbatch_tokens = self.guard.run(
                self.policy,
                passes,
                step=step,
                budget=self.microbatch_tokens,
                longest=max(len(example.token_ids) for example in examples),
            )
        else:
            self._leave_zeros()
        return _figures(examples, done, with_kl=batch.settings.kl > 0)

    def _pass(
        self, batch: ScoredBatch, rows: Sequence[int], learning: Learning
    ) -> tuple[Accumulated, WatchedLoss]:
        loss = watched_loss(batch, rows, learning)
        examples = [batch.examples[row] for row in rows]
        return self.policy.accumulate(examples, loss, self.rules, entropy=True), loss

    def _leave_zeros(self) -> None:
        """A gradient of 0 is not the same as none: AdamW's moments fade, and move the weights."""
        for parameter in self.policy.model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)

    def _log_probs(self, policy: Policy, batch: ScoredBatch, step: int) -> Tensor:
        """Of all response tokens of the batch; NaN where no update will ask."""
        spans, rows = batch.spans, batch.computed
        found = torch.full((spans[-1].stop,), torch.nan)
        if not rows:
            return found

        def passes(tokens: int) -> list[tuple[tuple[int, ...], Tensor]]:
            parts = self._split(batch.examples, rows, tokens)
            policy.ahead([[batch.examples[row] for row in part] for part in parts])
            return [
                (part, policy.log_probs([batch.examples[i] for i in part], self.rules).log_probs)
                for part in parts
            ]

        done, self.microbatch_tokens = self.guard.run(
            policy,
            passes,
            step=step,
            budget=self.microbatch_tokens,
            longest=max(len(batch.examples[row].token_ids) for row in rows),
        )
        for part, values in done:
            found = found.to(values.dtype)
            counts = [batch.examples[row].supervised_count for row in part]
            for row, own in zip(part, values.cpu().split(counts), strict=True):
                found[spans[row]] = own
        return found

    def _split(
        self, examples: Sequence[Example], rows: Sequence[int], tokens: int
    ) -> list[tuple[int, ...]]:
        """Micro-batches as rows of the batch."""
        row_of = {id(examples[row]): row for row in rows}
        parts = self.policy.split([examples[row] for row in rows], tokens)
        return [tuple(row_of[id(example)] for example in part) for part in parts]

    def _referred(self) -> Policy:
        if self._reference is None:
            self._reference = freeze(self.load_reference())
            self._reference.run_like(self.policy)
        return self._reference


def _figures(examples: Sequence[Example], done: _Done, *, with_kl: bool) -> dict[str, float]:
    parts = settled([part for part, _ in done])
    positions = sum(part.positions for part in parts)
    figures = {
        "loss": sum(part.loss for part in parts),
        **work_figures(examples, positions, sum(part.padding for part in parts)),
    }
    watched = [loss for _, loss in done]
    targets = sum(loss.loss.targets for loss in watched)
    if not targets:
        return figures
    figures |= {
        "entropy": sum(part.entropy_sum or 0.0 for part in parts) / targets,
        "clip_fraction": sum(float(loss.loss.clipped) for loss in watched) / targets,
        "ratio_max": max(float(loss.loss.ratio_max) for loss in watched),
        "engine_gap": sum(float(loss.gap_sum) for loss in watched) / targets,
        "engine_gap_max": max(float(loss.gap_max) for loss in watched),
    }
    if with_kl:
        figures["kl"] = sum(float(loss.loss.kl_sum) for loss in watched) / targets
    return figures
