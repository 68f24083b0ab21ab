"""What losses are made of: log-probabilities, entropy, masked sums, and a KL estimate."""

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


def k3_divergence(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """Estimate of KL(policy || reference) per token of a sample from the policy, in nats.

    k3 = q/p - log(q/p) - 1 with the reference q and the policy p (J. Schulman, "Approximating KL
    divergence", 2020): unbiased, and never negative.

    Args:
        log_probs: Of the sampled tokens under the policy, any shape, nats.
        reference_log_probs: The same under the reference.
    """
    log_ratio = reference_log_probs - log_probs
    # exp(x) - 1 keeps its digits near 0, where the policy still equals its reference
    return log_ratio.expm1() - log_ratio
