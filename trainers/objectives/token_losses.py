"""Losses as sums over targets, which may be taken in parts: any chunks of any micro-batches.

Each is called as `loss(log_probs, places)` with some targets and their places among all the targets
it knows; the parts add up to the whole. What a target weighs is decided beforehand, over the whole
optimizer step, by `token_weights`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.config.methods import LengthNormalization, LossType
from trainers.objectives.pieces import k3_divergence
from trainers.objectives.policy_gradient import clipped_ratio

_RATIO_LOSSES = (LossType.GRPO_CLIP, LossType.GRPO_NO_CLIP)


def token_weights(
    lengths: Sequence[int], normalization: LengthNormalization, constant: float | None = None
) -> list[float]:
    """What one token of each response weighs in the loss of an optimizer step.

    With N responses: `sequence_mean` 1 / (N length), the course's masked mean; `constant`
    1 / (N constant), Dr. GRPO; `token_mean` 1 / sum(lengths), DAPO. Give all responses of the step,
    also those that are left out for their zero advantage: they count in the denominators.

    Args:
        lengths: Tokens of each response.
        normalization: Which of the three.
        constant: Of `constant`.

    Returns:
        One weight per response; 0 for a response without tokens.

    Raises:
        ValueError: `constant` has no positive constant.
    """
    count = len(lengths)
    if normalization is LengthNormalization.SEQUENCE_MEAN:
        return [1.0 / (count * length) if length else 0.0 for length in lengths]
    if normalization is LengthNormalization.TOKEN_MEAN:
        total = sum(lengths)
        return [1.0 / total if length else 0.0 for length in lengths]
    if constant is None or constant <= 0:
        raise ValueError(f"the constant of a length normalization must be positive, not {constant}")
    return [1.0 / (count * constant) if length else 0.0 for length in lengths]


def truncated_importance(log_probs: Tensor, engine_log_probs: Tensor, cap: float) -> Tensor:
    """Importance weights between trainer and engine, truncated: min(p_trainer / p_engine, cap).

    They correct for sampling from an engine whose numbers differ from the trainer's (TIS; Yao et
    al. 2025, "Your Efficient RL Framework Secretly Brings You Off-Policy RL Training").

    Args:
        log_probs: Of the sampled tokens under the trainer's weights at sampling time, nats.
        engine_log_probs: The same as the engine computed them.
        cap: Largest weight.

    Returns:
        Detached, shape of `log_probs`.
    """
    return (log_probs.detach() - engine_log_probs.detach()).exp().clamp(max=cap)


@dataclass(slots=True)
class PolicyGradientLoss:
    """Policy gradient with an optional KL term: sum_i w_i (importance_i pg_i + kl k3_i).

    pg is -A log p for `no_baseline` and `reinforce_with_baseline`, -r A for `grpo_no_clip`, and
    -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) for `grpo_clip`, with r = p / p_old. Targets
    of weight 0 count nowhere, even if their log-probabilities are not finite. Statistics add up
    over the calls: take a new loss for every optimizer step, and for every attempt at one.

    Attributes:
        loss_type: Which pg.
        advantages: A of every target, shape (n,); raw rewards for `no_baseline`.
        weights: w of every target, shape (n,).
        old_log_probs: Of the policy that sampled, shape (n,), nats; None where that is the policy
            itself: r is then 1, with the gradient of log p.
        clip_low: Lower clip range.
        clip_high: Upper clip range.
        reference_log_probs: Of the reference policy, shape (n,), nats; needed for a KL term.
        kl: Weight of the KL term.
        importance: Factors of pg, shape (n,), from `truncated_importance`; 1 when None.
        clipped: Targets so far whose clipped branch was the smaller one.
        targets: Targets so far.
        kl_sum: Sum of k3 over them, nats.
        ratio_max: Largest r so far; 0 before the first target.

    What was seen on a GPU stays there, as scalars, until somebody makes numbers of it.
    """

    loss_type: LossType
    advantages: Tensor
    weights: Tensor
    old_log_probs: Tensor | None
    clip_low: float
    clip_high: float
    reference_log_probs: Tensor | None = None
    kl: float = 0.0
    importance: Tensor | None = None
    clipped: float | Tensor = field(default=0.0, init=False)
    targets: int = field(default=0, init=False)
    kl_sum: float | Tensor = field(default=0.0, init=False)
    ratio_max: float | Tensor = field(default=0.0, init=False)
    _all_count: bool | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.kl and self.reference_log_probs is None:
            raise ValueError("a KL term needs the log-probabilities of a reference policy")

    def __call__(self, log_probs: Tensor, places: Tensor) -> Tensor:
        """The loss of some targets.

        Args:
            log_probs: Shape (m,), nats, with a gradient.
            places: Shape (m,), int64: which of the n targets they are.

        Returns:
            Scalar.
        """
        weights = _at(places, self.weights, log_probs)
        if self._all_count is None:  # asked once, where the weights are, and not in every part
            self._all_count = bool((self.weights != 0).all())
        if not self._all_count:
            counts = weights != 0
            log_probs, places, weights = log_probs[counts], places[counts], weights[counts]
        advantages = _at(places, self.advantages, log_probs)
        old = log_probs.detach()
        if self.old_log_probs is not None:
            old = _at(places, self.old_log_probs, log_probs)
        terms, clipped = self._policy_gradient(log_probs, log_probs - old, advantages)
        if self.importance is not None:
            terms = terms * _at(places, self.importance, log_probs)
        if self.kl and self.reference_log_probs is not None:
            k3 = k3_divergence(log_probs, _at(places, self.reference_log_probs, log_probs))
            self.kl_sum = self.kl_sum + number_or_scalar(k3.detach().double().sum())
            terms = terms + self.kl * k3
        self._count(log_probs.detach() - old, clipped)
        return (terms * weights).sum()

    def _policy_gradient(
        self, log_probs: Tensor, log_ratio: Tensor, advantages: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        if self.loss_type not in _RATIO_LOSSES:
            return -advantages * log_probs, None
        if self.loss_type is LossType.GRPO_NO_CLIP:
            return -advantages * log_ratio.exp(), None
        ratio, clipped = clipped_ratio(log_ratio, advantages, self.clip_low, self.clip_high)
        return -advantages * ratio, clipped

    def _count(self, log_ratio: Tensor, clipped: Tensor | None) -> None:
        if not len(log_ratio):
            return
        self.targets += len(log_ratio)
        self.ratio_max = larger(self.ratio_max, number_or_scalar(log_ratio.max().exp()))
        if clipped is not None:
            self.clipped = self.clipped + number_or_scalar(clipped.sum())


@dataclass(frozen=True, slots=True)
class WeightedLogProbLoss:
    """-sum_i w_i log p_i: the second pass of a method whose weights need all log-probabilities.

    Attributes:
        weights: w of every target, shape (n,).
    """

    weights: Tensor

    def __call__(self, log_probs: Tensor, places: Tensor) -> Tensor:
        """The loss of some targets, from their log-probabilities (m,) and their places (m,)."""
        return -(_at(places, self.weights, log_probs) * log_probs).sum()


def _at(places: Tensor, values: Tensor, like: Tensor) -> Tensor:
    """Values at some places, on the device and in the precision of the log-probabilities."""
    taken = values.to(places.device, non_blocking=True)[places]
    return taken.to(device=like.device, dtype=torch.promote_types(like.dtype, torch.float32))


def number_or_scalar(value: Tensor) -> float | Tensor:
    """A scalar as a number where reading it waits for nothing, else as it is on its device."""
    return float(value.detach()) if value.device.type == "cpu" else value.detach()


def larger(one: float | Tensor, other: float | Tensor) -> float | Tensor:
    """The larger of two that `number_or_scalar` gave, a scalar where one of them is."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.maximum(one, other.to(one))
    if isinstance(other, Tensor):
        return other.clamp(min=one)
    if isinstance(one, Tensor):
        return one.clamp(min=other)
    return max(one, other)
