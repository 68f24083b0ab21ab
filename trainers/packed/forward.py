"""A packed row through a prepared model: log-probabilities, or the SFT loss.

Call `prepare_packed` once for the model, then `supervised_log_probs_packed` (methods whose
gradient per token is not known in advance) or `supervised_loss_packed` (SFT) for every row, under
the autocast of the compute dtype.
"""

from typing import Any

from torch import Tensor

from trainers.packed.attention import call_arguments, kernel_of
from trainers.packed.liger import liger_loss
from trainers.packed.projection import chunked_log_probs, chunked_loss
from trainers.packed.projection_choice import Projection
from trainers.packed.row import PackedRow


def supervised_log_probs_packed(model: Any, row: PackedRow) -> Tensor:
    """Log-probability of every supervised token of a row, in nats.

    Args:
        model: A transformers causal LM that `prepare_packed` switched.
        row: On the model's device.

    Returns:
        Shape (S,), in the row's order: what `Policy.supervised_log_probs` gives for the same
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

    Raises:
        ValueError: the model was not prepared, or the denominator is not positive.
    """
    states, head = _supervised_states(model, row), _head(model)
    compute = liger_loss if projection is Projection.LIGER and len(row.labels) else chunked_loss
    return compute(states, head, row.labels, denominator)


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
