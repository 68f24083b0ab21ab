"""Writing weights into the parts of a loaded vLLM model on the CPU, and reading back what is there.

Of a linear layer vLLM keeps no weight there, but a copy in its matrix kernel's own order. Such a
copy is made anew, by vLLM's own function; all else is copied over where it lies.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

Weights = Mapping[str, "torch.Tensor"]
_PROBES = 3


class Target(Protocol):
    """One thing in the model that weights are written to."""

    @property
    def path(self) -> str:
        """Name of its module in vLLM's model."""
        ...

    @property
    def layer(self) -> Any:
        """That module."""
        ...

    def fill(self, weights: Weights, room: "torch.Tensor") -> None:
        """Write the weights; `room` is a vector in the engine's precision to work in."""
        ...

    def holds(self, weights: Weights, turn: int) -> bool:
        """Whether a sample, chosen by `turn`, of what is computed with is that of these weights."""
        ...

    def outcome(self) -> list["torch.Tensor"]:
        """What is computed with, in a form that differs where any weight does."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A parameter that vLLM uses as it is; rows beyond those of the weights (padding) are zero.

    Attributes:
        path: Name of its module.
        layer: vLLM's module.
        own: The parameter's name in it.
        names: The weights that fill it, from the first row on.
        dtype: The engine's precision, which the parameter's own may exceed.
    """

    path: str
    layer: Any
    own: str
    names: tuple[str, ...]
    dtype: "torch.dtype"

    def fill(self, weights: Weights, room: "torch.Tensor") -> None:
        """Copy weight after weight, rounded to the engine's precision in any case."""
        parameter, first = getattr(self.layer, self.own), 0
        for name in self.names:
            source = weights[name]
            if parameter.dtype != self.dtype:
                source = source.to(self.dtype)
            parameter[first : first + len(source)].copy_(source)
            first += len(source)
        if first < len(parameter):
            parameter[first:].zero_()

    def holds(self, weights: Weights, turn: int) -> bool:
        """Compare one row of each matrix, and all of each vector."""
        parameter, first, same = getattr(self.layer, self.own), 0, True
        for name in self.names:
            source = weights[name]
            size = len(source)
            rows = slice(None) if source.ndim == 1 else slice(turn % size, turn % size + 1)
            given = source[rows].to("cpu", self.dtype)
            same = same and bool(parameter[first : first + size][rows].eq(given).all())
            first += size
        return same

    def outcome(self) -> list["torch.Tensor"]:
        """A vector itself; of a matrix its products with random vectors."""
        parameter = getattr(self.layer, self.own).data
        if parameter.ndim != 2:
            return [parameter.clone()]
        return [_probes(parameter.shape[1], parameter.dtype) @ parameter.T]


@dataclass(frozen=True, slots=True)
class Packed:
    """A linear layer or output head whose weight vLLM packs for its matrix kernel.

    Attributes:
        path: Name of the layer.
        layer: vLLM's module.
        names: The weights it is packed from, joined row after row; none where it is packed from its
            own parameter, which is a target before this one.
        rows: Of all of them together.
        columns: Of each of them.
    """

    path: str
    layer: Any
    names: tuple[str, ...]
    rows: int
    columns: int

    def fill(self, weights: Weights, room: "torch.Tensor") -> None:
        """Pack anew.

        Raises:
            RuntimeError: vLLM did not pack, but went on with the tensor it was given.
        """
        from torch.nn import Parameter
        from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

        # the old copy goes first, so that the new one gets its memory
        self.layer.cpu_linear = None
        if self.names:
            self.layer.weight = Parameter(self._joined(weights, room), requires_grad=False)
        dispatch_cpu_unquantized_gemm(self.layer, remove_weight=bool(self.names))
        if self.names and self.layer.weight.numel():
            raise RuntimeError(f"vLLM did not pack {self.path}")

    def holds(self, weights: Weights, turn: int) -> bool:
        """Compare one column: what comes out for a vector of zeros with a one in that place."""
        import torch

        own = self.layer.weight
        column = turn % self.columns
        unit = torch.zeros(1, self.columns, dtype=own.dtype)
        unit[0, column] = 1
        sources = [weights[name] for name in self.names] or [own]
        given = torch.cat([source[:, column].to("cpu", own.dtype) for source in sources])
        return torch.equal(self.layer.cpu_linear(unit, own, None)[0], given)

    def outcome(self) -> list["torch.Tensor"]:
        """Products with random vectors."""
        own = self.layer.weight
        return [self.layer.cpu_linear(_probes(self.columns, own.dtype), own, None)]

    def _joined(self, weights: Weights, room: "torch.Tensor") -> "torch.Tensor":
        first = weights[self.names[0]]
        if len(self.names) == 1 and (first.dtype, first.device) == (room.dtype, room.device):
            return first.detach().contiguous()
        joined, row = room[: self.rows * self.columns].view(self.rows, self.columns), 0
        for name in self.names:
            source = weights[name]
            joined[row : row + len(source)].copy_(source)
            row += len(source)
        return joined


@dataclass(frozen=True, slots=True)
class LookedUp:
    """An embedding that nothing is multiplied with; vLLM packs it all the same.

    Attributes:
        path: Name of the module.
        layer: vLLM's module, whose parameter is a target before this one.
    """

    path: str
    layer: Any

    def fill(self, weights: Weights, room: "torch.Tensor") -> None:
        """Let go of the packed copy."""
        self.layer.cpu_linear = _linear

    def holds(self, weights: Weights, turn: int) -> bool:
        """There is no packed copy that could be old."""
        return self.layer.cpu_linear is _linear

    def outcome(self) -> list["torch.Tensor"]:
        """Nothing beside the parameter."""
        return []


def _linear(
    x: "torch.Tensor", weight: "torch.Tensor", bias: "torch.Tensor | None"
) -> "torch.Tensor":
    from torch.nn.functional import linear

    return linear(x, weight, bias)


@functools.lru_cache(maxsize=8)
def _probes(columns: int, dtype: "torch.dtype") -> "torch.Tensor":
    import torch

    generator = torch.Generator().manual_seed(columns)
    return torch.randn(_PROBES, columns, generator=generator).to(dtype)
