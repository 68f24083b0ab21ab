"""Writing weights into the parts of a loaded vLLM model on the CPU, and reading back what is there.

Of a linear layer vLLM keeps no weight there, but a copy in its matrix kernel's own order, and to
make one takes several times as long as copying the weight. So the weight is laid down as it comes
in the place of the old packed copy, and the layer's first use packs it, by vLLM's own function:
nothing that is computed differs from what a reload gives. All else is copied over where it lies.
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

    def fill(self, weights: Weights) -> None:
        """Write the weights."""
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

    def fill(self, weights: Weights) -> None:
        """Copy weight after weight, rounded to the engine's precision in any case."""
        parameter = getattr(self.layer, self.own)
        sources = [weights[name] for name in self.names]
        if parameter.dtype != self.dtype:
            sources = [source.to(self.dtype) for source in sources]
        _write(parameter, sources)

    def holds(self, weights: Weights, turn: int) -> bool:
        """Compare one row of each matrix, and all of each vector."""
        parameter, first, same = getattr(self.layer, self.own), 0, True
        for name in self.names:
            source = weights[name]
            size = source.shape[0]
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
    """A linear layer whose weight vLLM holds in its matrix kernel's own order, and only so.

    Attributes:
        path: Name of the layer.
        layer: vLLM's module.
        names: The weights it is made of, joined row after row.
        rows: Of all of them together.
        columns: Of each of them.
        dtype: The engine's precision.
    """

    path: str
    layer: Any
    names: tuple[str, ...]
    rows: int
    columns: int
    dtype: "torch.dtype"

    def fill(self, weights: Weights) -> None:
        """Lay the weights down, to be packed when the layer is used."""
        import torch

        waiting = Unpacked(self.layer, None)
        # the packed copy goes before there is a new tensor, which then gets its memory
        self.layer.cpu_linear = waiting
        waiting.weight = torch.empty(self.rows, self.columns, dtype=self.dtype)
        _write(waiting.weight, [weights[name] for name in self.names])

    def holds(self, weights: Weights, turn: int) -> bool:
        """Compare one row of each weight with what waits to be packed."""
        waiting, first = self.layer.cpu_linear, 0
        if not isinstance(waiting, Unpacked) or waiting.weight is None:
            return False
        for name in self.names:
            source = weights[name]
            row = turn % source.shape[0]
            if not waiting.weight[first + row].equal(source[row].to("cpu", self.dtype)):
                return False
            first += source.shape[0]
        return True

    def outcome(self) -> list["torch.Tensor"]:
        """Products with random vectors."""
        inputs = _probes(self.columns, self.dtype)
        return [self.layer.cpu_linear(inputs, self.layer.weight, None)]


@dataclass(frozen=True, slots=True)
class PackedTable:
    """An output head: packed from a parameter that vLLM keeps, and that is a target of its own.

    Attributes:
        path: Name of the module.
        layer: vLLM's module.
    """

    path: str
    layer: Any

    def fill(self, weights: Weights) -> None:
        """Let go of the packed copy; the first use packs anew."""
        self.layer.cpu_linear = Unpacked(self.layer, None)

    def holds(self, weights: Weights, turn: int) -> bool:
        """Whether the old packed copy is gone."""
        return isinstance(self.layer.cpu_linear, Unpacked)

    def outcome(self) -> list["torch.Tensor"]:
        """Products with random vectors."""
        weight = self.layer.weight.data
        return [self.layer.cpu_linear(_probes(weight.shape[1], weight.dtype), weight, None)]


@dataclass(slots=True)
class Unpacked:
    """In the place of a layer's matrix kernel until that is needed: packs, and steps aside.

    Attributes:
        layer: vLLM's module.
        weight: What to pack; None for the layer's own parameter, which it then keeps.
    """

    layer: Any
    weight: "torch.Tensor | None"

    def __call__(
        self, x: "torch.Tensor", weight: "torch.Tensor", bias: "torch.Tensor | None"
    ) -> "torch.Tensor":
        """Pack, and multiply as vLLM does from then on.

        Raises:
            RuntimeError: vLLM did not pack.
        """
        import torch
        from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

        # parameters made under inference mode could never be written to by a reload
        with torch.inference_mode(False):
            if self.weight is not None:
                self.layer.weight = torch.nn.Parameter(self.weight, requires_grad=False)
            dispatch_cpu_unquantized_gemm(self.layer, remove_weight=self.weight is not None)
        if self.layer.cpu_linear is self:
            raise RuntimeError(f"vLLM did not pack a {type(self.layer).__name__}")
        product: torch.Tensor = self.layer.cpu_linear(x, self.layer.weight, bias)
        return product


@dataclass(frozen=True, slots=True)
class LookedUp:
    """An embedding that nothing is multiplied with; vLLM packs it all the same.

    Attributes:
        path: Name of the module.
        layer: vLLM's module, whose parameter is a target before this one.
    """

    path: str
    layer: Any

    def fill(self, weights: Weights) -> None:
        """Let go of the packed copy."""
        self.layer.cpu_linear = _linear

    def holds(self, weights: Weights, turn: int) -> bool:
        """There is no packed copy that could be old."""
        return self.layer.cpu_linear is _linear

    def outcome(self) -> list["torch.Tensor"]:
        """Nothing beside the parameter."""
        return []


def _write(target: "torch.Tensor", sources: list["torch.Tensor"]) -> None:
    """Copy one source after the other; rows that are left (padding) become zero."""
    sizes = [source.shape[0] for source in sources]
    rest = target.shape[0] - sum(sizes)
    if len(sizes) == 1 and not rest:
        target.copy_(sources[0])
        return
    *parts, padding = target.split([*sizes, rest])
    for part, source in zip(parts, sources, strict=True):
        part.copy_(source)
    padding.zero_()


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
