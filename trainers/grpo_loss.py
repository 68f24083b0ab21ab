"""The loss of one micro-batch of GRPO, and what it sees on the way: the trainer/engine gap."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainers.grpo_batch import Learning, ScoredBatch
from trainers.objectives import PolicyGradientLoss, truncated_importance
from trainers.objectives.token_losses import larger, number_or_scalar


@dataclass(slots=True)
class WatchedLoss:
    """`PolicyGradientLoss`, with importance weights and the gap between trainer and engine.

    Both compare the engine with the weights that sampled. Where those are the ones that learn, the
    log-probabilities of the pass itself tell, and nothing has to be computed beforehand.

    Attributes:
        loss: The loss.
        engine: Log-probabilities of the targets as the engine computed them, shape (n,), nats.
        tis_cap: Cap of truncated importance weights; 1 everywhere when None.
        gap_sum: Sum of |trainer - engine| over targets so far, nats.
        gap_max: Largest of them.
    """

    loss: PolicyGradientLoss
    engine: Tensor
    tis_cap: float | None
    gap_sum: float | Tensor = field(default=0.0, init=False)
    gap_max: float | Tensor = field(default=0.0, init=False)

    def __call__(self, log_probs: Tensor, places: Tensor) -> Tensor:
        """The loss of some targets, from their log-probabilities (m,) and their places (m,)."""
        self._move(places.device)
        old = self.loss.old_log_probs
        sampled = log_probs.detach() if old is None else old[places]
        sampled = sampled.to(self.engine)
        if self.tis_cap is not None and self.loss.importance is not None:
            weights = truncated_importance(sampled, self.engine[places], self.tis_cap)
            self.loss.importance[places] = weights
        if len(places):
            gaps = (sampled - self.engine[places]).abs().double()
            self.gap_sum = self.gap_sum + number_or_scalar(gaps.sum())
            self.gap_max = larger(self.gap_max, number_or_scalar(gaps.max()))
        return self.loss(log_probs, places)

    def _move(self, device: torch.device) -> None:
        """All that is compared to where the targets are: nothing is fetched from there."""
        loss = self.loss
        self.engine = self.engine.to(device, non_blocking=True)
        if loss.old_log_probs is not None:
            loss.old_log_probs = loss.old_log_probs.to(device, non_blocking=True)
        if loss.importance is not None:
            loss.importance = loss.importance.to(device, non_blocking=True)


def watched_loss(batch: ScoredBatch, rows: Sequence[int], learning: Learning) -> WatchedLoss:
    """The loss of some rollouts of an update.

    Args:
        batch: Their batch, with the log-probabilities that its settings ask for.
        rows: The rollouts, in the order in which the pass gets them.
        learning: What the update learns from; says what a token weighs.
    """
    settings, rollouts = batch.settings, batch.sampled.batch.rollouts
    counts = torch.tensor([batch.examples[row].supervised_count for row in rows])
    given = [value for row in rows for value in rollouts[row].engine_logprobs]
    engine = torch.tensor(given, dtype=torch.float64)

    def per_target(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64).repeat_interleave(counts)

    loss = PolicyGradientLoss(
        settings.loss,
        per_target([batch.advantages[row] for row in rows]),
        per_target([learning.weights[row] for row in rows]),
        _compared(batch, "old", rows),
        settings.clip_low,
        settings.clip_high,
        reference_log_probs=_compared(batch, "reference", rows),
        kl=settings.kl,
        importance=None if settings.tis_cap is None else torch.ones_like(engine),
    )
    return WatchedLoss(loss, engine, settings.tis_cap)


def _compared(batch: ScoredBatch, name: str, rows: Sequence[int]) -> Tensor | None:
    kept = batch.sampled.tensors.get(name)
    if kept is None:
        return None
    spans = batch.spans
    return torch.cat([kept[spans[row]] for row in rows])
