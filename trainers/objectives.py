"""Losses and their pieces: pure functions of tensors, free of models' internals and of state."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def compute_entropy(logits: Tensor) -> Tensor:
    """Entropy of next-token distributions, in nats.

    H(p) = logsumexp(z) - sum_v softmax(z)_v z_v, which never takes the logarithm of a
    probability that underflowed.

    Args:
        logits: Shape (..., V), any float dtype.

    Returns:
        Shape (...), dtype of the logits.
    """
    log_probs = torch.log_softmax(logits, dim=-1)
    return -(log_probs.exp() * log_probs.masked_fill(log_probs == -torch.inf, 0.0)).sum(dim=-1)


def token_log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probability of each label, in nats.

    Args:
        logits: Shape (..., V).
        labels: Shape (...), int64, valid ids.
    """
    chosen = logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return chosen - torch.logsumexp(logits, dim=-1)


def get_response_log_probs(
    model: Any, input_ids: Tensor, labels: Tensor, return_token_entropy: bool = False
) -> dict[str, Tensor]:
    """Per-token log-probabilities log p(labels_t | input_ids_<=t) under a causal model.

    Args:
        model: Called as `model(input_ids)`; its result has `.logits` of shape (B, T, V).
        input_ids: Shape (B, T), int64.
        labels: Shape (B, T), int64, already shifted.
        return_token_entropy: Also return the entropy of every next-token distribution.

    Returns:
        `log_probs` of shape (B, T) and, if asked, `token_entropy` of the same shape, both in nats.
    """
    logits = model(input_ids).logits
    result = {"log_probs": token_log_probs(logits, labels)}
    if return_token_entropy:
        result["token_entropy"] = compute_entropy(logits)
    return result


def masked_normalize(
    tensor: Tensor, mask: Tensor, normalize_constant: float, dim: int | None = None
) -> Tensor:
    """Sum over the positions where the mask holds, divided by a constant.

    Args:
        tensor: Any shape.
        mask: Same shape; nonzero counts. Masked positions do not contribute even if not finite.
        normalize_constant: The divisor.
        dim: Dimension to sum over; all when None.
    """
    kept = torch.where(
        mask.bool(), tensor, torch.zeros((), dtype=tensor.dtype, device=tensor.device)
    )
    return (kept.sum() if dim is None else kept.sum(dim=dim)) / normalize_constant


def masked_mean(tensor: Tensor, mask: Tensor, dim: int | None = None) -> Tensor:
    """Mean over the positions where the mask holds; NaN where it holds nowhere.

    Args:
        tensor: Any shape.
        mask: Same shape; nonzero counts.
        dim: Dimension to average over; all when None.
    """
    count = mask.bool().sum() if dim is None else mask.bool().sum(dim=dim)
    return masked_normalize(tensor, mask, 1.0, dim) / count


def sft_loss(log_probs: Tensor, denominator: float) -> Tensor:
    """Share of one micro-batch in the loss of its optimizer step: sum of -log p / denominator.

    With the supervised tokens of the whole step as denominator, micro-batches of unequal lengths
    add up to exactly the full-batch loss. With constant x sequences of the step it is the form of
    `masked_normalize`.

    Args:
        log_probs: Supervised tokens of the micro-batch, any shape, nats.
        denominator: The same for every micro-batch of the step.

    Raises:
        ValueError: the denominator is not positive.
    """
    if denominator <= 0:
        raise ValueError(f"the denominator of a loss must be positive, not {denominator}")
    return -log_probs.sum() / denominator


@dataclass(frozen=True, slots=True)
class SftLoss:
    """`sft_loss` with its denominator, as a sum over targets that may be taken in parts.

    Attributes:
        denominator: The same for every micro-batch of the step.
    """

    denominator: float

    def __call__(self, log_probs: Tensor, places: Tensor) -> Tensor:
        """The loss of some targets, whatever their places in the micro-batch."""
        return sft_loss(log_probs, self.denominator)


def sft_microbatch_train_step(
    policy_log_probs: Tensor,
    response_mask: Tensor,
    gradient_accumulation_steps: int,
    normalize_constant: float = 1.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """One micro-batch of SFT: summed per sequence, divided, averaged over the batch, and backward.

    loss = mean_b( -sum_t mask_bt log p_bt / normalize_constant ) / gradient_accumulation_steps.

    Args:
        policy_log_probs: Shape (B, T), nats, with a gradient.
        response_mask: Shape (B, T).
        gradient_accumulation_steps: Micro-batches per optimizer step.
        normalize_constant: Divides the sum of each sequence.

    Returns:
        The loss that was backpropagated (scalar), and metadata for logging.
    """
    per_sequence = -masked_normalize(policy_log_probs, response_mask, normalize_constant, dim=-1)
    loss = per_sequence.mean() / gradient_accumulation_steps
    loss.backward()
    return loss.detach(), {"supervised_tokens": response_mask.bool().sum()}
