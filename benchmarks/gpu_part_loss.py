"""The same 100 steps on the CPU in float32, on the GPU in float32, and with products in bfloat16.

The built-in model and data, so that the loss really falls. All three see the same examples in the
same order; they run at the same time, as only their losses count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.gpu_part_runs import seen, start_watched
from benchmarks.gpu_parts import Given
from benchmarks.gpu_rows import report

# the default for models of the real sizes; the built-in model learns at ten times that and more,
# where a course amplifies its own rounding, whatever computes it
_RATE = "2e-5"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the courses.

    Attributes:
        bar: Largest relative difference from the first side that is accepted at any step.
    """

    name: str
    device: str
    precision: str
    bar: float | None = None


def sides(given: Given) -> tuple[Side, ...]:
    """The reference first. A dry run has no other device, and compares precisions alone."""
    return (
        Side("cpu-float32", "cpu", "float32"),
        Side(f"{given.device}-float32", given.device, "float32", 1e-4),
        Side(f"{given.device}-mixed", given.device, "mixed", 1e-2),
    )


def gap(given: Given) -> None:
    """Largest and mean relative difference of the losses."""
    steps = 4 if given.dry else 100
    processes = {}
    for number, side in enumerate(sides(given)):
        words = (
            *("sft", "--size", "64" if given.dry else "256", "--steps", str(steps)),
            *("--batch-size", "4" if given.dry else "16", "--engine", "hf", "--lr", _RATE),
            *("--device", side.device, "--set", f"train.precision={side.precision}"),
            *("--set", f"train.checkpoint_every={steps}"),
        )
        name = f"loss-{number}"
        processes[side] = name, start_watched(given, name, words)
    curves: dict[Side, list[float]] = {}
    for side, (name, process) in processes.items():
        found = seen(given, name, process)
        if found is not None:
            curves[side] = [one["loss"] for one in found["metrics"]]
    reference, *others = sides(given)
    if reference not in curves:
        return
    wanted = curves[reference]
    report(
        "loss at the end", wanted[-1], "nats", note=f"of {wanted[0]:.3f} at first, {steps} steps"
    )
    for side in others:
        if side in curves:
            largest, mean = differences(wanted, curves[side])
            note = (
                f"of any of {len(wanted)} steps; {mean:.2e} on average, against the CPU in float32"
            )
            report(f"{side.name}: largest gap", largest, "", bar=f"<= {side.bar:g}", note=note)


def differences(wanted: Sequence[float], found: Sequence[float]) -> tuple[float, float]:
    """Largest and mean relative difference of two curves.

    Raises:
        ValueError: they have not the same steps.
    """
    each = [abs(a - b) / abs(a) for a, b in zip(wanted, found, strict=True)]
    return max(each), sum(each) / len(each)
