"""Precisions of training: in which number formats weights, gradients, moments and products are.

`train.precision` names one of them. What depends on a number format asks the table here.
"""

from dataclasses import dataclass
from enum import StrEnum

import torch

from core.errors import UserError


class Rounding(StrEnum):
    """How an update is rounded to the number format of the weights."""

    NEAREST = "nearest"
    STOCHASTIC = "stochastic"


@dataclass(frozen=True, slots=True)
class Precision:
    """The number formats of one way to train.

    Attributes:
        name: As `train.precision` and `--precision` say it.
        compute: Of matrix products in the passes.
        weights: Of the parameters; updates are added to them.
        gradients: Of what the backward pass leaves for the optimizer.
        moments: Of AdamW's two.
        rounding: Of weights and moments behind an update, which is computed in float32.
    """

    name: str
    compute: torch.dtype
    weights: torch.dtype
    gradients: torch.dtype
    moments: torch.dtype
    rounding: Rounding = Rounding.NEAREST

    @property
    def autocast(self) -> bool:
        """Products are in a narrower format than the weights, which are copied for them."""
        return self.compute is not self.weights

    @property
    def compute_bytes(self) -> int:
        """Of a number in a matrix product, and of most activations."""
        return self.compute.itemsize

    @property
    def weight_bytes(self) -> int:
        """Per parameter, for the weights that are kept."""
        return self.weights.itemsize

    @property
    def copy_bytes(self) -> int:
        """Per parameter, for the copies that autocast makes of weights until the backward pass."""
        return self.compute.itemsize if self.autocast else 0

    @property
    def gradient_bytes(self) -> int:
        """Per parameter, for gradients."""
        return self.gradients.itemsize

    @property
    def moment_bytes(self) -> int:
        """Per parameter, for both moments."""
        return 2 * self.moments.itemsize

    @property
    def state_bytes(self) -> int:
        """Per parameter, for all that stays from one update to the next and the gradients."""
        return self.weight_bytes + self.gradient_bytes + self.moment_bytes

    @property
    def described(self) -> str:
        """One sentence for the record of a run."""
        weights, products = (_short(kind) for kind in (self.weights, self.compute))
        state = f"weights, gradients and moments in {weights}"
        if self.weights is torch.bfloat16:
            state = f"{state}, rounded {_WAYS[self.rounding]}"
        return f"precision {self.name}: products in {products}, {state}"

    @property
    def passes(self) -> str:
        """What the figures of a forward pass depend on, in words that name no update rule."""
        compute = _short(self.compute)
        return compute if self.weights is torch.float32 else f"{compute} weights"


_WAYS = {Rounding.NEAREST: "to the nearest", Rounding.STOCHASTIC: "at random"}


def _short(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


_FULL, _HALF = torch.float32, torch.bfloat16

FLOAT32 = Precision("float32", _FULL, _FULL, _FULL, _FULL)
"""Everything in float32."""

MIXED = Precision("mixed", _HALF, _FULL, _FULL, _FULL)
"""Products in bfloat16; weights, gradients, moments and sums in float32."""

STOCHASTIC = Precision("stochastic", _HALF, _HALF, _HALF, _HALF, Rounding.STOCHASTIC)
"""Everything in bfloat16; updates in float32, rounded at random so that none is lost on average."""

BFLOAT16 = Precision("bfloat16", _HALF, _HALF, _HALF, _HALF)
"""Everything in bfloat16; updates in float32, rounded to the nearest, which swallows small ones."""

PRECISIONS = {precision.name: precision for precision in (FLOAT32, MIXED, STOCHASTIC, BFLOAT16)}


def precision_named(name: str) -> Precision:
    """The precision of that name.

    Raises:
        UserError: there is none.
    """
    if name not in PRECISIONS:
        raise UserError(f"precision {name!r} is unknown; use {', '.join(PRECISIONS)} or auto")
    return PRECISIONS[name]


def training_precision(wanted: str, device: str) -> str:
    """Resolve `auto`: mixed where the hardware multiplies bfloat16 at more than float32's rate.

    Weights, gradients, moments and sums stay float32 either way. On CPUs the answer follows from
    what the processor is, not from a measurement, so that the runs of a matrix agree.

    Args:
        wanted: `auto`, or the name of a precision.
        device: `cpu` or `cuda`.
    """
    if wanted != "auto":
        return wanted
    return MIXED.name if device == "cuda" or cpu_multiplies_bfloat16() else FLOAT32.name


def exact_float32_products() -> None:
    """Let no GPU multiply float32 in TF32, which keeps 10 binary digits of 23.

    Who wants products faster than float32's says `mixed`.
    """
    torch.set_float32_matmul_precision("highest")


def cpu_multiplies_bfloat16() -> bool:
    """The processor has instructions for bfloat16 products (AVX512-BF16, AMX)."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16"))
