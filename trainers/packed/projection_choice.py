"""Which projection computes losses over the vocabulary here: measured where there is a choice."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial

import torch

from trainers.packed.fused_loss import fused_loss, triton_version
from trainers.packed.liger import liger_loss, liger_version
from trainers.packed.projection import chunked_loss

# a gain below this share is within the spread of repeated timings
_CLEAR_GAIN = 0.03
_TIMED_CALLS = 5
_SAME = 0.02
_COMPARED = 64


class Projection(Enum):
    """What computes the loss over the vocabulary."""

    CHUNKED = "chunked"
    FUSED = "fused"
    LIGER = "liger"


@dataclass(frozen=True, slots=True)
class ProjectionChoice:
    """The projection, and one sentence that says why.

    Attributes:
        projection: Of the SFT loss.
        reason: Why, for a person.
        tokens: Of other losses and of log-probabilities, which liger-kernel does not give.
    """

    projection: Projection
    reason: str
    tokens: Projection = Projection.CHUNKED


@dataclass(frozen=True, slots=True)
class ProjectionSize:
    """What is projected in a typical row.

    Attributes:
        positions: Supervised positions.
        hidden: Width of the states.
        vocabulary: Rows of the output embedding.
        dtype: Of the matrix products.
        device: Where.
        parameters: Precision of the output embedding and of its gradient.
    """

    positions: int
    hidden: int
    vocabulary: int
    dtype: torch.dtype
    device: torch.device
    parameters: torch.dtype = torch.float32


# seconds of one forward and backward pass by each projection asked for, or why it fails
Timing = Callable[[ProjectionSize, tuple[Projection, ...]], Mapping[Projection, float | str]]

FORMS: dict[Projection, Callable[..., torch.Tensor]] = {
    Projection.CHUNKED: chunked_loss,
    Projection.FUSED: fused_loss,
    Projection.LIGER: liger_loss,
}


def choose_projection(
    size: ProjectionSize,
    timing: Timing | None = None,
    version: str | None = None,
    triton: str | None = None,
) -> ProjectionChoice:
    """Torch's own operations, unless a kernel is there, agrees with them, and is clearly faster.

    Args:
        size: Shapes of a typical row.
        timing: Measures projections; `time_projections` when None.
        version: Of liger-kernel; looked up when None.
        triton: Its version; looked up when None.
    """
    if size.device.type != "cuda":
        reason = f"chunked projection: fused kernels need CUDA, and this is {size.device.type}"
        return ProjectionChoice(Projection.CHUNKED, reason)
    versions = {
        Projection.FUSED: triton or triton_version(),
        Projection.LIGER: version or liger_version(),
    }
    kinds = tuple(kind for kind, known in versions.items() if known is not None)
    if not kinds:
        reason = "chunked projection: neither Triton nor liger-kernel is installed"
        return ProjectionChoice(Projection.CHUNKED, reason)
    figures = (timing or time_projections)(size, (Projection.CHUNKED, *kinds))
    mine = _seconds(figures, Projection.CHUNKED)
    faster = [kind for kind in kinds if _seconds(figures, kind) < (1.0 - _CLEAR_GAIN) * mine]
    best = min(faster, key=lambda kind: _seconds(figures, kind), default=Projection.CHUNKED)
    return ProjectionChoice(
        best,
        _reason(best, size, versions, figures),
        Projection.FUSED if Projection.FUSED in faster else Projection.CHUNKED,
    )


def time_projections(
    size: ProjectionSize, kinds: tuple[Projection, ...]
) -> dict[Projection, float | str]:
    """Median seconds of one forward and backward pass of each, on random values.

    Args:
        size: Shapes of a typical row.
        kinds: Which; the first one's results are what the others must give.

    Returns:
        Seconds, or the reason why a projection cannot be used.
    """
    hidden, weight, labels = _random_values(size)
    half = size.dtype is torch.bfloat16 and size.parameters is not torch.bfloat16

    def once(kind: Projection, positions: int) -> list[torch.Tensor]:
        with torch.autocast(size.device.type, dtype=torch.bfloat16, enabled=half):
            loss = FORMS[kind](hidden[:positions], weight, labels[:positions], float(positions))
        return [loss.detach(), *torch.autograd.grad(loss, (hidden, weight))]

    # compared where any memory has room for it: the one that is timed may not fit
    few = min(_COMPARED, size.positions)
    found: dict[Projection, float | str] = {}
    wanted: list[torch.Tensor] | None = None
    for kind in kinds:
        try:
            results = once(kind, few)
            wanted = results if wanted is None else wanted
            _compare(wanted, results)
            del results
            found[kind] = _median_seconds(partial(once, kind, size.positions), size.device)
        except Exception as error:  # compilers of kernels raise whatever they like
            lines = str(error).strip().splitlines() or [type(error).__name__]
            found[kind] = lines[0]
    return found


def _random_values(size: ProjectionSize) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """States, output embedding and labels of that size."""
    generator = torch.Generator(size.device).manual_seed(0)
    shapes = ((size.positions, size.hidden), (size.vocabulary, size.hidden))
    hidden, weight = (
        torch.randn(shape, generator=generator, device=size.device, dtype=kind)
        .mul_(size.hidden**-0.25)
        .requires_grad_()
        for shape, kind in zip(shapes, (size.dtype, size.parameters), strict=True)
    )
    labels = torch.randint(
        size.vocabulary, (size.positions,), generator=generator, device=size.device
    )
    return hidden, weight, labels


def _seconds(figures: Mapping[Projection, float | str], kind: Projection) -> float:
    """Infinite where it fails."""
    value = figures[kind]
    return float("inf") if isinstance(value, str) else value


def _reason(
    best: Projection,
    size: ProjectionSize,
    versions: Mapping[Projection, str | None],
    figures: Mapping[Projection, float | str],
) -> str:
    names = {
        Projection.CHUNKED: "torch's operations by chunks",
        Projection.FUSED: f"our kernel on Triton {versions[Projection.FUSED]}",
        Projection.LIGER: f"liger-kernel {versions[Projection.LIGER]}",
    }
    said = [
        f"{names[kind]} {'fails here (' + value + ')' if isinstance(value, str) else _ms(value)}"
        for kind, value in sorted(figures.items(), key=lambda each: each[0] is not best)
    ]
    missing = {Projection.FUSED: "Triton", Projection.LIGER: "liger-kernel"}
    said += [f"{missing[kind]} is not installed" for kind, known in versions.items() if not known]
    return f"{best.value} projection, for {size.positions} positions: {', '.join(said)}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2f} ms"


def _median_seconds(call: Callable[[], object], device: torch.device) -> float:
    taken = []
    for _ in range(_TIMED_CALLS):
        _wait(device)
        started = time.perf_counter()
        call()
        _wait(device)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _compare(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    for found, wanted in zip(theirs, ours, strict=True):
        apart = (found.float() - wanted.float()).norm() / wanted.float().norm()
        if not apart.item() <= _SAME:
            raise ValueError(f"its result differs by {apart.item():.1%}")
