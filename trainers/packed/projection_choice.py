"""Which projection computes the SFT loss on this machine: measured where there is a choice."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch

from trainers.packed.liger import liger_loss, liger_version
from trainers.packed.projection import chunked_loss

# a gain below this share is within the spread of repeated timings
_CLEAR_GAIN = 0.03
_TIMED_CALLS = 5
_SAME = 0.02


class Projection(Enum):
    """What computes the loss over the vocabulary."""

    CHUNKED = "chunked"
    LIGER = "liger"


@dataclass(frozen=True, slots=True)
class ProjectionChoice:
    """The projection, and one sentence that says why."""

    projection: Projection
    reason: str


@dataclass(frozen=True, slots=True)
class ProjectionSize:
    """What is projected in a typical row.

    Attributes:
        positions: Supervised positions.
        hidden: Width of the states.
        vocabulary: Rows of the output embedding.
        dtype: Of the matrix products.
        device: Where.
    """

    positions: int
    hidden: int
    vocabulary: int
    dtype: torch.dtype
    device: torch.device


# seconds of one forward and backward pass by each projection that works
Timing = Callable[[ProjectionSize], dict[Projection, float]]


def choose_projection(
    size: ProjectionSize, timing: Timing | None = None, version: str | None = None
) -> ProjectionChoice:
    """Ours, unless liger-kernel is installed, agrees with it, and is clearly faster here.

    Args:
        size: Shapes of a typical row.
        timing: Measures both; `time_projections` when None.
        version: Of liger-kernel; looked up when None.
    """
    version = version or liger_version()
    ours = Projection.CHUNKED
    if size.device.type != "cuda":
        return ProjectionChoice(ours, f"chunked: liger-kernel needs CUDA, not {size.device.type}")
    if version is None:
        return ProjectionChoice(ours, "chunked: liger-kernel is not installed")
    try:
        seconds = (timing or time_projections)(size)
    except (ImportError, RuntimeError, ValueError, TypeError, AssertionError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return ProjectionChoice(ours, f"chunked: liger-kernel {version} fails here ({lines[0]})")
    mine, theirs = (1e3 * seconds[kind] for kind in (ours, Projection.LIGER))
    figures = f"for {size.positions} positions: liger-kernel {version} {theirs:.2f} ms, "
    figures += f"chunked {mine:.2f} ms"
    if theirs < (1.0 - _CLEAR_GAIN) * mine:
        return ProjectionChoice(Projection.LIGER, f"liger-kernel is faster here {figures}")
    return ProjectionChoice(ours, f"chunked: liger-kernel is not clearly faster here {figures}")


def time_projections(size: ProjectionSize) -> dict[Projection, float]:
    """Median seconds of one forward and backward pass of each, on random values.

    Raises:
        ValueError: the two give different losses or gradients.
    """
    generator = torch.Generator(size.device).manual_seed(0)
    shapes = ((size.positions, size.hidden), (size.vocabulary, size.hidden))
    hidden, weight = (
        torch.randn(shape, generator=generator, device=size.device, dtype=size.dtype)
        .mul_(size.hidden**-0.25)
        .requires_grad_()
        for shape in shapes
    )
    labels = torch.randint(
        size.vocabulary, (size.positions,), generator=generator, device=size.device
    )
    forms = {Projection.CHUNKED: chunked_loss, Projection.LIGER: liger_loss}
    results, seconds = [], {}
    for kind, form in forms.items():

        def once(form: Callable[..., torch.Tensor] = form) -> list[torch.Tensor]:
            loss = form(hidden, weight, labels, float(size.positions))
            return [loss.detach(), *torch.autograd.grad(loss, (hidden, weight))]

        results.append(once())
        seconds[kind] = _median_seconds(once, size.device)
    _compare(*results)
    return seconds


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
            raise ValueError(f"its result differs from ours by {apart.item():.1%}")
