"""Supervised fine-tuning: minus the mean log-probability of the targets."""

from dataclasses import dataclass

from torch import Tensor

from trainers.objectives.pieces import masked_normalize


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
    _check_positive(denominator)
    return -log_probs.sum() / denominator


@dataclass(frozen=True, slots=True)
class SftLoss:
    """`sft_loss` with its denominator, as a sum over targets that may be taken in parts.

    Attributes:
        denominator: The same for every micro-batch of the step.

    Raises:
        ValueError: the denominator is not positive.
    """

    denominator: float

    def __post_init__(self) -> None:
        _check_positive(self.denominator)

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


def _check_positive(denominator: float) -> None:
    if denominator <= 0:
        raise ValueError(f"the denominator of a loss must be positive, not {denominator}")
