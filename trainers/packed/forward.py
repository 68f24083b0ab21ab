"""A packed row through a prepared model: log-probabilities, or a loss of them.

Call `prepare_packed` once for the model, then for every row, under the autocast of the compute
dtype, `supervised_loss_packed` (SFT), `token_loss_packed` (any other sum over targets),
`read_targets_packed` (no gradient) or `supervised_log_probs_packed` (torch's own gradient).
"""

from typing import Any

import torch
from torch import Tensor

from trainers.packed.attention import call_arguments, kernel_of
from trainers.packed.fused_loss import fused_loss, fused_targets, fused_token_loss, takes
from trainers.packed.liger import liger_loss
from trainers.packed.projection import (
    chunked_log_probs,
    chunked_loss,
    chunked_targets,
    chunked_token_loss,
)
from trainers.packed.projection_choice import Projection
from trainers.packed.row import PackedRow
from trainers.reading import PLAIN_READING, Reading, TargetLogProbs, TokenLoss


def supervised_log_probs_packed(model: Any, row: PackedRow) -> Tensor:
    """Log-probability of every supervised token of a row, in nats.

    Args:
        model: A transformers causal LM that `prepare_packed` switched.
        row: On the model's device.

    Returns:
        Shape (S,), in the row's order: what `Policy.read_targets` gives for the same
        examples padded. Split by `row.counts` for one tensor per example.

    Raises:
        ValueError: the model was not prepared.
    """
    return chunked_log_probs(_supervised_states(model, row), _head(model), row.labels)


def supervised_loss_packed(
    model: Any, row: PackedRow, denominator: float, projection: Projection = Projection.CHUNKED
) -> Tensor:
    """`sft_loss` of a row, without computing logits twice.

    Args:
        model: A transformers causal LM that `prepare_packed` switched.
        row: On the model's device.
        denominator: Of the loss: the same for every row of the optimizer step.
        projection: What computes it, from `choose_projection`.

    Returns:
        Scalar, nats over the denominator.

    Raises:
        ValueError: the model was not prepared, or the denominator is not positive.
    """
    states, head = _supervised_states(model, row), _head(model)
    if projection is Projection.LIGER and len(row.labels):
        return liger_loss(states, head, row.labels, denominator)
    fused = projection is Projection.FUSED and takes(states, PLAIN_READING)
    compute = fused_loss if fused else chunked_loss
    return compute(states, head, row.labels, denominator)


def token_loss_packed(
    model: Any,
    row: PackedRow,
    loss: TokenLoss,
    reading: Reading = PLAIN_READING,
    projection: Projection = Projection.CHUNKED,
) -> tuple[Tensor, TargetLogProbs]:
    """A loss over the targets of a row, its gradient by the logits taken in the forward pass.

    Args:
        model: A transformers causal LM that `prepare_packed` switched.
        row: On the model's device.
        loss: A sum over targets; called once for each chunk of them.
        reading: Of the row's targets, on the model's device.
        projection: What computes it where it can; `tokens` of `choose_projection`.

    Returns:
        The loss, a scalar ready for `backward`, and what was read of the targets, without
        gradients.

    Raises:
        ValueError: the model was not prepared.
    """
    states, head = _supervised_states(model, row), _head(model)
    fused = projection is Projection.FUSED and takes(states, reading)
    compute = fused_token_loss if fused else chunked_token_loss
    return compute(states, head, row.labels, loss, reading)


@torch.no_grad()
def read_targets_packed(
    model: Any,
    row: PackedRow,
    reading: Reading = PLAIN_READING,
    projection: Projection = Projection.CHUNKED,
) -> TargetLogProbs:
    """What is read of the targets of a row, without gradients.

    Args:
        model: A transformers causal LM that `prepare_packed` switched.
        row: On the model's device.
        reading: Of the row's targets, on the model's device.
        projection: What computes it where it can; `tokens` of `choose_projection`.

    Raises:
        ValueError: the model was not prepared.
    """
    states, head = _supervised_states(model, row), _head(model)
    fused = projection is Projection.FUSED and takes(states, reading)
    compute = fused_targets if fused else chunked_targets
    return compute(states, head, row.labels, reading)


def _supervised_states(model: Any, row: PackedRow) -> Tensor:
    kernel = kernel_of(model)
    if kernel is None:
        raise ValueError("the model does not know packed rows yet: call prepare_packed first")
    output = model.base_model(**call_arguments(row, kernel))
    states: Tensor = output.last_hidden_state[0].index_select(0, row.supervised)
    return states


def _head(model: Any) -> Tensor:
    weight: Tensor = model.get_output_embeddings().weight
    return weight
