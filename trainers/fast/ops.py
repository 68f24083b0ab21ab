"""The small pieces of a Llama-like layer, each with its backward pass.

`wide` is the dtype of the residual stream and of all reductions (float32, or float64 for a float64
model); `narrow` that of matrix products (the same, or bfloat16). Parameters and their gradients are
in the one or the other.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Normed:
    """What RMS normalisation keeps for its backward pass.

    Attributes:
        unit: Shape (T, H), wide: the input over its root mean square.
        scale: Shape (T, 1), wide: one over that root mean square.
    """

    unit: Tensor
    scale: Tensor

    def output(self, weight: Tensor, narrow: torch.dtype) -> Tensor:
        """Shape (T, H), narrow: what the next matrix product reads."""
        return (self.unit * weight).to(narrow)


def rms_norm(x: Tensor, epsilon: float) -> Normed:
    """y = x / sqrt(mean(x^2) + epsilon) * w (Zhang & Sennrich 2019), up to the weight.

    Args:
        x: Shape (T, H), wide.
        epsilon: Added to the mean square.
    """
    scale = x.square().mean(-1, keepdim=True).add_(epsilon).rsqrt_()
    return Normed(x * scale, scale)


def rms_norm_backward(
    gradient: Tensor, normed: Normed, weight: nn.Parameter, residual: Tensor
) -> None:
    """Add the gradient of the input to `residual` and that of the weight to its `.grad`.

    Args:
        gradient: Shape (T, H): of the output.
        normed: What the forward pass kept.
        weight: Shape (H,).
        residual: Shape (T, H), wide; changed in place.
    """
    gradient = gradient.to(residual.dtype)
    weighted = gradient * normed.unit
    add_gradient(weight, weighted.sum(0))
    mean = weighted.mul_(weight).mean(-1, keepdim=True)
    inner = (gradient * weight).addcmul_(normed.unit, mean, value=-1)
    residual.addcmul_(inner, normed.scale)


@dataclass(frozen=True, slots=True)
class Rotation:
    """Rotary position embedding (Su et al. 2021), the two halves of a head forming the pairs.

    Attributes:
        cosine: Shape (T, 1, D / 2), narrow.
        sine: The same shape.
    """

    cosine: Tensor
    sine: Tensor

    def apply(self, heads: Tensor, *, inverse: bool = False) -> None:
        """Rotate (T, heads, D) in place; the inverse is the backward pass."""
        first, second = heads.chunk(2, -1)
        sine = -self.sine if inverse else self.sine
        turned = first * self.cosine
        turned.addcmul_(second, sine, value=-1)
        second.mul_(self.cosine).addcmul_(first, sine)
        first.copy_(turned)


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up (Shazeer 2020), any shape."""
    return F.silu(gate).mul_(up)


def swiglu_backward(
    gradient: Tensor, gate: Tensor, up: Tensor, activated: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of gate and up, all of one shape.

    `gradient`, and `activated`, which is silu(gate), are overwritten.
    """
    up_gradient = activated.mul_(gradient)
    return torch.ops.aten.silu_backward(gradient.mul_(up), gate), up_gradient


def add_gradient(parameter: Tensor, gradient: Tensor) -> None:
    """Add a gradient of any dtype and the parameter's shape to `.grad`, in the parameter's dtype.

    Frozen parameters are left alone.
    """
    if not parameter.requires_grad:
        return
    if parameter.grad is None:
        parameter.grad = gradient.to(parameter.dtype, copy=True)
    else:
        parameter.grad.add_(gradient)


def add_product(parameter: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left^T right to `.grad`: the weight gradient of a linear layer.

    Args:
        parameter: Shape (N, K).
        left: Shape (T, N): gradient of the layer's output.
        right: Shape (T, K): the layer's input.
    """
    if not parameter.requires_grad:
        return
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    if left.dtype is parameter.dtype:
        parameter.grad.addmm_(left.t(), right)
        return
    for part, rows in zip(left.split(_ROWS, 1), parameter.grad.split(_ROWS), strict=True):
        rows.add_(part.t() @ right)


# rows of a weight whose gradient is made at once before it is widened: bounds the spare memory
_ROWS = 8192
