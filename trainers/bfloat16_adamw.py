"""AdamW for weights in bfloat16: computed in float32, rounded once at the end.

The update (Loshchilov & Hutter 2019) of a tensor is computed from weights, gradients and moments
widened to float32, and rounded to the nearest or stochastically. Only weights and moments in
bfloat16 stay; nothing of their size is made in float32.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainers.precision import Precision, Rounding
from trainers.stochastic_rounding import (
    Keys,
    high_bits,
    keys_of,
    low_bits,
    random_bits,
    round_stochastically,
)

MOMENTS = ("exp_avg", "exp_avg_sq")
# numbers that are widened at once: on CPU what stays in the second-level cache, on CUDA what
# outweighs the launches
_PIECE = {"cpu": 2**16, "cuda": 2**22}


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The numbers of one update of one tensor.

    Attributes:
        rate: Learning rate, divided by the first moment's bias correction.
        kept: What decay leaves of the weights: 1 - learning rate x weight decay.
        beta1: Decay of the first moment.
        beta2: Decay of the second.
        root: Square root of the second moment's bias correction.
        epsilon: Added to the denominator.
    """

    rate: float
    kept: float
    beta1: float
    beta2: float
    root: float
    epsilon: float


@dataclass(frozen=True, slots=True)
class State:
    """One tensor as an update sees it: all of shape (n,), on one device.

    Attributes:
        weight: bfloat16; changed in place.
        gradient: Read.
        first: First moment; changed in place.
        second: Second moment; changed in place.
        scale: Scalar, float32: gradients are multiplied by it.
        start: Place of the first number in the whole parameter.
        keys: Of its random bits; None to round to the nearest.
    """

    weight: Tensor
    gradient: Tensor
    first: Tensor
    second: Tensor
    scale: Tensor
    start: int
    keys: Keys | None


Update = Callable[[State, Coefficients], None]
"""Writes one update over weights and moments."""


class Bfloat16AdamW(torch.optim.Optimizer):
    """AdamW with weights in bfloat16.

    Args:
        groups: As torch's optimizers take them, each with `weight_decay`.
        names: Of the parameters: they choose the random bits.
        betas: Decays of the moments.
        epsilon: Added to the denominator.
        precision: Says the format of the moments, and how to round.
        seed: Of the random bits.
        update: Computes the update of a tensor; plain operations when None.

    Attributes:
        number: Of the next update in the run, for its random bits: it goes on where moments begin
            anew. The parameters' own count when None.
    """

    number: int | None = None

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        names: Mapping[nn.Parameter, str],
        *,
        betas: tuple[float, float],
        epsilon: float,
        precision: Precision,
        seed: int,
        update: Update | None = None,
    ) -> None:
        super().__init__(list(groups), {"lr": 0.0, "weight_decay": 0.0})
        self._names = dict(names)
        self._betas, self._epsilon = betas, epsilon
        self._precision, self._seed = precision, seed
        self._update = update or update_in_pieces
        self._scale: Tensor | None = None

    @property
    def stochastic(self) -> bool:
        """Rounds at random."""
        return self._precision.rounding is Rounding.STOCHASTIC

    @torch.no_grad()
    def clip(self, limit: float) -> Tensor:
        """Have the next update scale gradients down to a global L2 norm, and return their norm.

        Scaling where they are read spares them a rounding.

        Args:
            limit: Largest norm.

        Returns:
            Scalar, float32.
        """
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        norms = [
            torch.linalg.vector_norm(gradient, dtype=torch.float32)
            for gradient in gradients
            if gradient is not None
        ]
        if not norms:
            return torch.zeros(())
        norm = torch.linalg.vector_norm(torch.stack(norms))
        if hasattr(norm, "full_tensor"):  # of parameters that several processes share
            norm = norm.full_tensor()
        self._scale = (limit / (norm + 1e-6)).clamp(max=1.0)
        return norm

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient.

        Raises:
            ValueError: a closure is given; there is none to compute gradients again with.
        """
        if closure is not None:
            raise ValueError("Bfloat16AdamW takes no closure; compute the gradients beforehand")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)
        self._scale = None

    def moved(self, parameter: Tensor, places: Tensor, before: Tensor) -> Tensor:
        """Which weights the last update meant to move, and float32 could tell from before.

        Under stochastic rounding a weight may well stay as it was by chance; what this does not
        mark has no chance to move.

        Args:
            parameter: One that has a gradient.
            places: Indices into its flat local part.
            before: Its weights there before the update.

        Returns:
            Shape of `places`, bool.
        """
        state = self.state[parameter]
        group = next(g for g in self.param_groups if any(p is parameter for p in g["params"]))
        made = self._coefficients(group, int(state["step"]))
        first, second = (_flat(state[name])[places].float() for name in MOMENTS)
        wanted = _stepped(before.float(), first, second, made)
        return wanted != before.float()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put a state back; moments keep the format of the precision, whatever the weights'."""
        super().load_state_dict(state_dict)
        parameters = [p for group in self.param_groups for p in group["params"]]
        for index, given in state_dict["state"].items():
            state = self.state[parameters[index]]
            state["step"] = given["step"].to("cpu", torch.float32)
            for name in MOMENTS:
                state[name] = given[name].to(state[name].device, self._precision.moments)

    def _step(self, parameter: nn.Parameter, group: Mapping[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            for name in MOMENTS:
                state[name] = torch.zeros_like(parameter, dtype=self._precision.moments)
        state["step"] += 1
        step, weight = int(state["step"]), _flat(parameter)
        if self._scale is None:
            self._scale = torch.ones((), device=weight.device)
        keys = None
        if self.stochastic:
            keys = keys_of(self._seed, self.number or step, self._names[parameter])
        gradient = _local(parameter.grad).reshape(-1)
        first, second = (_flat(state[name]) for name in MOMENTS)
        whole = State(weight, gradient, first, second, self._scale, _start(parameter), keys)
        self._update(whole, self._coefficients(group, step))

    def _coefficients(self, group: Mapping[str, Any], step: int) -> Coefficients:
        beta1, beta2 = self._betas
        return Coefficients(
            rate=group["lr"] / (1 - beta1**step),
            kept=1 - group["lr"] * group["weight_decay"],
            beta1=beta1,
            beta2=beta2,
            root=math.sqrt(1 - beta2**step),
            epsilon=self._epsilon,
        )


def update_in_pieces(state: State, made: Coefficients) -> None:
    """The update by plain operations, on so many numbers at a time that float32 takes little."""
    piece = _PIECE.get(state.weight.device.type, _PIECE["cpu"])
    for begin in range(0, state.weight.numel(), piece):
        _update_piece(state, slice(begin, begin + piece), made)


def _update_piece(state: State, part: slice, made: Coefficients) -> None:
    weight, first, second = (t[part] for t in (state.weight, state.first, state.second))
    gradient = state.gradient[part].float() * state.scale
    new_first = first.float().mul_(made.beta1).add_(gradient, alpha=1 - made.beta1)
    new_second = second.float().mul_(made.beta2)
    new_second.addcmul_(gradient, gradient, value=1 - made.beta2)
    new_weight = _stepped(weight.float(), new_first, new_second, made)
    if state.keys is None:
        for stored, new in ((weight, new_weight), (first, new_first), (second, new_second)):
            stored.copy_(new)
        return
    bits = random_bits(state.keys, state.start + part.start, len(weight), weight.device)
    _store(weight, new_weight, low_bits(bits))
    # a weight's own bits must know nothing of its moments'; the two moments may share theirs
    bits = high_bits(bits)
    _store(first, new_first, bits)
    _store(second, new_second, bits)


def _stepped(weight: Tensor, first: Tensor, second: Tensor, made: Coefficients) -> Tensor:
    divisor = second.sqrt().div_(made.root).add_(made.epsilon)
    return (weight * made.kept).addcdiv_(first, divisor, value=-made.rate)


def _store(stored: Tensor, new: Tensor, bits: Tensor) -> None:
    narrow = stored.dtype is torch.bfloat16
    stored.copy_(round_stochastically(new, bits) if narrow else new)


def _flat(tensor: Any) -> Tensor:
    """The numbers that this process holds, in one row; a view, or what is written would be lost."""
    row: Tensor = _local(tensor).view(-1)
    return row


def _local(tensor: Any) -> Any:
    return tensor.detach().to_local() if hasattr(tensor, "to_local") else tensor.detach()


def _start(parameter: Any) -> int:
    """Place of this process' first number in the whole parameter; FSDP deals out rows in order."""
    if not hasattr(parameter, "device_mesh"):
        return 0
    mesh = parameter.device_mesh
    rows = -(-parameter.shape[0] // mesh.size())
    each = math.prod(parameter.shape[1:])
    return min(parameter.shape[0], mesh.get_local_rank() * rows) * each
