"""The forward and the backward pass of a whole Llama-like model over one packed row.

Written out by hand, the passes keep what they need and nothing else, compute the last layer only
where a target is predicted, and add gradients straight to `.grad`. They are the same mathematics
as the model's own forward and torch's autograd; tests hold them equal in float64.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from trainers.fast.attention import Attended, attention, attention_backward
from trainers.fast.head import project, project_with_gradients
from trainers.fast.layout import PackedRow
from trainers.fast.ops import (
    Normed,
    Rotation,
    add_gradient,
    add_product,
    rms_norm,
    rms_norm_backward,
    swiglu,
    swiglu_backward,
)
from trainers.fast.weights import Layer, Weights, read_weights, refusal
from trainers.reading import PLAIN_READING, Reading, TargetLogProbs, TokenLoss

_GRAIN = 64


@dataclass(slots=True)
class _Kept:
    """What the forward pass of one layer keeps for the backward pass."""

    before_attention: Normed
    attended: Attended
    mixed: Tensor
    before_mlp: Normed
    gate: Tensor
    up: Tensor


@dataclass(slots=True)
class WrittenOut:
    """Stands in for `model(...)` and `loss.backward()`.

    Attributes:
        weights: The model's parameters.
        recompute: Keep only each layer's input and compute the layer again in the backward pass
            (activation checkpointing: less memory, a third more work).
    """

    weights: Weights
    recompute: bool = False

    @property
    def grain(self) -> int:
        """What numbers of tokens are best filled up to.

        Products in bfloat16 are compiled for every shape that comes along, which takes about a
        millisecond and half a mebibyte each.
        """
        return _GRAIN if self.weights.narrow is torch.bfloat16 else 1

    @torch.no_grad()
    def accumulate(
        self, row: PackedRow, loss: TokenLoss, reading: Reading = PLAIN_READING
    ) -> tuple[Tensor, TargetLogProbs]:
        """Add the gradient of a loss to every parameter's `.grad`.

        Args:
            row: The micro-batch.
            loss: A sum over the row's targets.
            reading: Of the row's targets.

        Returns:
            The loss (scalar) and what was read of the targets, shape (S,); without gradients.
        """
        weights = self.weights
        weights.refresh()
        rotation = weights.rotation(row.positions)
        x, kept = self._forward(row, rotation, keep=True)
        last = rms_norm(x, weights.epsilon)
        value, found, gradient = project_with_gradients(
            last.output(weights.last_norm, weights.narrow),
            _made(weights.head_copy),
            row.labels,
            weights.head,
            loss,
            reading,
        )
        residual = torch.zeros_like(x)
        rms_norm_backward(gradient, last, weights.last_norm, residual)
        for index in reversed(range(len(weights.layers))):
            residual = self._layer_backward(index, kept.pop(), residual, row, rotation)
        _add_embedding_gradient(weights, row.ids, residual)
        return value, found

    @torch.no_grad()
    def log_probs(self, row: PackedRow, reading: Reading = PLAIN_READING) -> TargetLogProbs:
        """What is read of the row's targets, shape (S,), without gradients."""
        weights = self.weights
        weights.refresh()
        x, _ = self._forward(row, weights.rotation(row.positions), keep=False)
        hidden = rms_norm(x, weights.epsilon).output(weights.last_norm, weights.narrow)
        return project(hidden[: len(row.labels)], _made(weights.head_copy), row.labels, reading)

    def _forward(
        self, row: PackedRow, rotation: Rotation, *, keep: bool
    ) -> tuple[Tensor, list[_Kept | Tensor]]:
        """Hidden states before the last norm, shape (S', H), and what the layers kept.

        S' is S in multiples of the row's grain; behind the targets no state means anything.
        """
        x = F.embedding(row.ids, self.weights.embedding).to(self.weights.wide)
        kept: list[_Kept | Tensor] = []
        for index in range(len(self.weights.layers)):
            before = x
            x, layer = self._layer_forward(index, x, row, rotation)
            if keep:
                kept.append(before if self.recompute else layer)
        return x, kept

    def _layer_forward(
        self, index: int, x: Tensor, row: PackedRow, rotation: Rotation
    ) -> tuple[Tensor, _Kept]:
        weights, layer = self.weights, self.weights.layers[index]
        output, gate_weight, up_weight, down = layer.narrow
        first = rms_norm(x, weights.epsilon)
        hidden = first.output(layer.first_norm, weights.narrow)
        qkv = F.linear(hidden, _made(layer.qkv), layer.qkv_bias)
        rotation.apply(_rotated(qkv, weights))
        qkv[:, : weights.heads.query_size] *= weights.heads.width**-0.5
        mixed, attended = attention(qkv, row, weights.heads)
        if self._is_last(index):
            mixed, x = mixed[row.read], x[row.read]
        x = x + F.linear(mixed, output)
        second = rms_norm(x, weights.epsilon)
        hidden = second.output(layer.second_norm, weights.narrow)
        gate, up = F.linear(hidden, gate_weight), F.linear(hidden, up_weight)
        kept = _Kept(first, attended, mixed, second, gate, up)
        return x + F.linear(swiglu(gate, up), down), kept

    def _layer_backward(
        self,
        index: int,
        kept: _Kept | Tensor,
        residual: Tensor,
        row: PackedRow,
        rotation: Rotation,
    ) -> Tensor:
        """Gradient of a layer's input, from that of its output."""
        if isinstance(kept, Tensor):
            _, kept = self._layer_forward(index, kept, row, rotation)
        layer, weights = self.weights.layers[index], self.weights
        _mlp_backward(layer, kept, residual, weights)
        return self._attention_backward(index, kept, residual, row, rotation)

    def _attention_backward(
        self, index: int, kept: _Kept, residual: Tensor, row: PackedRow, rotation: Rotation
    ) -> Tensor:
        weights, layer = self.weights, self.weights.layers[index]
        narrow = residual.to(weights.narrow)
        add_product(layer.output, narrow, kept.mixed)
        gradient = narrow @ layer.narrow[0]
        if self._is_last(index):
            gradient = _spread(gradient, row)
            residual = _spread(residual, row)
        qkv = attention_backward(gradient, kept.attended, row, weights.heads)
        qkv[:, : weights.heads.query_size] *= weights.heads.width**-0.5
        rotation.apply(_rotated(qkv, weights), inverse=True)
        _add_projection_gradients(layer, qkv, kept.before_attention, weights)
        rms_norm_backward(qkv @ _made(layer.qkv), kept.before_attention, layer.first_norm, residual)
        return residual

    def _is_last(self, index: int) -> bool:
        return index == len(self.weights.layers) - 1


def written_out(model: Any, compute_dtype: torch.dtype) -> tuple[WrittenOut | None, str]:
    """The written-out passes for a model, or None, and the reason.

    Args:
        model: A transformers causal language model.
        compute_dtype: Dtype of matrix products.
    """
    problem = refusal(model)
    if problem is not None:
        return None, f"transformers' own passes, because {problem}"
    return WrittenOut(read_weights(model, compute_dtype)), "written-out passes"


def _mlp_backward(layer: Layer, kept: _Kept, residual: Tensor, weights: Weights) -> None:
    _, gate_weight, up_weight, down = layer.narrow
    narrow = residual.to(weights.narrow)
    activated = F.silu(kept.gate)
    add_product(layer.down, narrow, activated * kept.up)
    gate, up = swiglu_backward(narrow @ down, kept.gate, kept.up, activated)
    hidden = kept.before_mlp.output(layer.second_norm, weights.narrow)
    add_product(layer.gate, gate, hidden)
    add_product(layer.up, up, hidden)
    gradient = torch.addmm(gate @ gate_weight, up, up_weight)
    rms_norm_backward(gradient, kept.before_mlp, layer.second_norm, residual)


def _add_projection_gradients(layer: Layer, qkv: Tensor, normed: Normed, weights: Weights) -> None:
    hidden = normed.output(layer.first_norm, weights.narrow)
    sizes = [projection.weight.shape[0] for projection in layer.projections]
    for projection, part in zip(layer.projections, qkv.split(sizes, 1), strict=True):
        add_product(projection.weight, part, hidden)
        if projection.bias is not None:
            add_gradient(projection.bias, part.sum(0, dtype=weights.wide))


def _add_embedding_gradient(weights: Weights, ids: Tensor, gradient: Tensor) -> None:
    embedding = weights.embedding
    if not embedding.requires_grad:
        return
    if embedding.grad is None:
        embedding.grad = torch.zeros_like(embedding)
    if embedding.dtype is gradient.dtype:
        embedding.grad.index_add_(0, ids, gradient)
        return
    # a token that is there often would lose most of its gradient if each addition were rounded
    different, places = ids.unique(return_inverse=True)
    sums = embedding.grad[different].to(gradient.dtype).index_add_(0, places, gradient)
    embedding.grad.index_copy_(0, different, sums.to(embedding.dtype))


def _rotated(qkv: Tensor, weights: Weights) -> Tensor:
    """The queries and keys of a row as (T, heads, D), a view."""
    heads = weights.heads
    kept = (heads.queries + heads.groups) * heads.width
    return qkv[:, :kept].unflatten(1, (-1, heads.width))


def _spread(rows: Tensor, row: PackedRow) -> Tensor:
    """Rows of targets (S', ...) at their places in the packed row, zeros elsewhere."""
    return rows.new_zeros(row.tokens, rows.shape[1]).index_copy_(0, row.read, rows)


def _made(tensor: Tensor | None) -> Tensor:
    if tensor is None:
        raise ValueError("the weights were read before Weights.refresh was called")
    return tensor
