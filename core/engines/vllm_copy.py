"""Getting weights into vLLM: by its own reload, or straight into the layers where that is proven.

vLLM's reload takes every layer apart, loads it anew and copies it over the old one: ten to twenty
times the work of copying the bytes. On the CPU the layers can be filled where they lie. That is
done only after a rehearsal on the engine at hand: with made-up weights, every layer must compute
bit for bit what it computes after vLLM's reload of the same. Nothing of this is tried on a GPU,
where the reload is the way in.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from core.engines.vllm_layout import Shapes, UnknownLayoutError, find_targets
from core.engines.vllm_targets import Target, Weights
from core.engines.weights import INPUT_EMBEDDING, OUTPUT_HEAD, WeightContract

if TYPE_CHECKING:
    import torch

CANARY_EVERY = 64
_SAMPLES = 16  # copies after which every layer has been looked at


class WeightCopies:
    """All copies into one engine, from the first to the last.

    The first is vLLM's reload, so that an engine that is filled once pays for nothing else. Before
    the second the other way is rehearsed; from then on it is taken, or never.

    Attributes:
        refused: Why the weights are not written in place; None where they are, or as long as that
            is not known.
    """

    def __init__(self, dtype: str, *, on_cpu: bool):
        """Copies into an engine that has had none yet, of the given precision."""
        self.refused = None if on_cpu else "only the layers on a CPU are known"
        self._dtype = dtype
        self._done = 0
        self._plan: InPlace | None = None

    @property
    def in_place(self) -> bool:
        """Whether the weights are written straight into the layers by now."""
        return self._plan is not None

    def copy(self, llm: Any, contract: WeightContract, weights: Weights) -> bool:
        """Copy all weights, which the contract has checked.

        Args:
            llm: vLLM's `LLM`, in this process.
            contract: Of the model that it has loaded.
            weights: Name to tensor, of any precision, on any device.

        Returns:
            Whether the engine's answers have to be compared with the policy's: after each reload,
            and after the first and every 64th copy into the layers.

        Raises:
            RuntimeError: the copy failed, or a layer does not hold what it was given.
        """
        done, self._done = self._done, self._done + 1
        if done == 1 and self.refused is None:
            self._plan = self._rehearsed(llm, contract)
        if self._plan is None:
            self._reload(llm, weights)
            return True
        self._plan.check_model(_model(llm))
        self._plan.copy(weights)
        self._plan.check(weights, done)
        return done % CANARY_EVERY == 1

    def forget(self) -> None:
        """Hold on to nothing of vLLM's, when the engine is closed."""
        self._plan = None

    def _rehearsed(self, llm: Any, contract: WeightContract) -> "InPlace | None":
        weights = MadeUp(contract.shapes, contract.tied)
        try:
            plan = InPlace(_model(llm), contract, _precision(self._dtype))
            plan.copy(weights)
            found = plan.outcome()
            self._reload(llm, weights)
            if _same(found, plan.outcome()):
                return plan
            self.refused = "the layers do not compute what they do after a reload"
        # whatever another version of vLLM does otherwise: its own reload follows, and is checked
        except Exception as error:
            known = isinstance(error, UnknownLayoutError)
            self.refused = str(error) if known else f"{type(error).__name__}: {error}"
        return None

    def _reload(self, llm: Any, weights: Weights) -> None:
        iterator = _cast(weights.items(), _precision(self._dtype))
        # an update may still be under way on the trainer's stream, which need not be vLLM's
        _wait_for_gpu()
        llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iterator})
        _wait_for_gpu()


class InPlace:
    """A plan of where each weight goes in one loaded model."""

    def __init__(self, model: Any, contract: WeightContract, dtype: "torch.dtype"):
        """Find the place of every weight.

        Raises:
            UnknownLayoutError: a weight has no place, or a part of the model is of an unknown kind.
        """
        self._model = model
        self._targets: list[Target] = find_targets(
            model, contract.shapes, tied=contract.tied, dtype=dtype
        )

    def copy(self, weights: Weights) -> None:
        """Write every weight to its place."""
        import torch

        with torch.no_grad():
            for target in self._targets:
                target.fill(weights)

    def check_model(self, model: Any) -> None:
        """Be sure that this is still the model the plan was made for.

        Raises:
            RuntimeError: it is another.
        """
        if model is not self._model:
            raise RuntimeError("vLLM has put another model in the place of the one it loaded")

    def check(self, weights: Weights, turn: int) -> None:
        """Look into some of the layers; after sixteen turns all have been looked into.

        Raises:
            RuntimeError: a layer was replaced, or does not hold the weights.
        """
        import torch

        for target in self._targets[turn % _SAMPLES :: _SAMPLES]:
            with torch.no_grad():
                holds = target.holds(weights, turn)
            if holds and self._model.get_submodule(target.path) is target.layer:
                continue
            if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
                raise RuntimeError("the policy's weights are not finite; it has diverged")
            raise RuntimeError(f"after the copy {target.path} does not hold the policy's weights")

    def outcome(self) -> list["torch.Tensor"]:
        """What all layers compute with, to be compared with another time's."""
        import torch

        with torch.no_grad():
            return [tensor for target in self._targets for tensor in target.outcome()]


class MadeUp(Mapping[str, "torch.Tensor"]):
    """Weights that differ by name, row and column, each made when it is asked for."""

    def __init__(self, shapes: Shapes, tied: bool):
        """Weights of these shapes; a tied output head equals the embedding."""
        self._shapes = shapes
        self._tied = tied

    def __getitem__(self, name: str) -> "torch.Tensor":
        import torch

        shape = self._shapes[name]
        source = INPUT_EMBEDDING if self._tied and name == OUTPUT_HEAD else name
        generator = torch.Generator().manual_seed(zlib.crc32(source.encode()))
        if len(shape) != 2:
            return torch.rand(shape, generator=generator)
        rows, columns = (0.5 + torch.rand(size, generator=generator) for size in shape)
        return torch.outer(rows, columns)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def _wait_for_gpu() -> None:
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _precision(name: str) -> "torch.dtype":
    import torch

    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _model(llm: Any) -> Any:
    (model,) = llm.apply_model(lambda model: model)
    return model


def _same(found: list["torch.Tensor"], expected: list["torch.Tensor"]) -> bool:
    import torch

    return len(found) == len(expected) and all(map(torch.equal, found, expected))


def _cast(
    weights: Iterable[tuple[str, "torch.Tensor"]], dtype: "torch.dtype"
) -> Iterator[tuple[str, "torch.Tensor"]]:
    """Weights in the engine's precision, one at a time: vLLM would round in other places."""
    for name, tensor in weights:
        yield name, tensor.detach().to(dtype)
