"""The same 100 steps on the CPU in float32, on the GPU in float32, and with products in bfloat16.

A small model with random weights, and the built-in one, whose course products in bfloat16 move much
more (docs/decisions.md); only the first is held against bars. All sides see the same examples in
the same order, and run at the same time, as only their losses count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.gpu_part_models import model_folder
from benchmarks.gpu_part_runs import seen, start_watched
from benchmarks.gpu_parts import TINY, Given
from benchmarks.gpu_rows import report


@dataclass(frozen=True, slots=True)
class Side:
    """One of the courses of a model.

    Attributes:
        bar: Largest relative difference from the first side that is accepted at any step.
    """

    device: str
    precision: str
    bar: float | None = None

    @property
    def name(self) -> str:
        """For people and files."""
        return f"{self.device}-{self.precision}"


@dataclass(frozen=True, slots=True)
class Course:
    """A model and its learning rate.

    Attributes:
        judged: Whether the bars hold for it.
    """

    name: str
    model: str
    rate: str
    judged: bool


def courses(given: Given) -> tuple[Course, ...]:
    """Those to compare; a dry run has the first alone."""
    folder = str(model_folder(given, TINY))
    random = Course("random weights", folder, "3e-4", judged=True)
    return (random,) if given.dry else (random, Course("built-in", "builtin", "2e-5", judged=False))


def sides(given: Given) -> tuple[Side, ...]:
    """The reference first. A dry run has no other device, and compares precisions alone."""
    return (
        Side("cpu", "float32"),
        Side(given.device, "float32", 1e-4),
        Side(given.device, "mixed", 1e-2),
    )


def gap(given: Given) -> None:
    """Largest and mean relative difference of the losses."""
    steps = 4 if given.dry else 100
    started = {}
    for course in courses(given):
        for number, side in enumerate(sides(given)):
            name = f"loss-{course.name.split()[0]}-{number}"
            words = (
                *("sft", "--model", course.model, "--data", "builtin", "--lr", course.rate),
                *("--size", "64" if given.dry else "256", "--steps", str(steps)),
                *("--batch-size", "4" if given.dry else "8", "--engine", "hf"),
                *("--device", side.device, "--set", f"train.precision={side.precision}"),
                *("--set", f"train.checkpoint_every={steps}"),
            )
            started[course, number] = name, start_watched(given, name, words)
    curves: dict[tuple[Course, int], list[float]] = {}
    for key, (name, process) in started.items():
        found = seen(given, name, process)
        if found is not None:
            curves[key] = [one["loss"] for one in found["metrics"]]
    for course in courses(given):
        _compare(course, sides(given), curves)


def _compare(
    course: Course, known: Sequence[Side], curves: dict[tuple[Course, int], list[float]]
) -> None:
    if (course, 0) not in curves:
        return
    wanted = curves[course, 0]
    note = f"of {wanted[0]:.3f} at first, {len(wanted)} steps at {course.rate}"
    report(f"{course.name}: loss at the end", wanted[-1], "nats", note=note)
    for number, side in enumerate(known[1:], start=1):
        if (course, number) not in curves:
            continue
        largest, mean = differences(wanted, curves[course, number])
        report(
            f"{course.name}, {side.name}: largest gap", largest, "share",
            bar=f"<= {side.bar:g}" if course.judged else "",
            note=f"{100 * mean:.3g}% on average, against the CPU in float32",
        )  # fmt: skip


def differences(wanted: Sequence[float], found: Sequence[float]) -> tuple[float, float]:
    """Largest and mean relative difference of two curves.

    Raises:
        ValueError: they have not the same steps.
    """
    each = [abs(a - b) / abs(a) for a, b in zip(wanted, found, strict=True)]
    return max(each), sum(each) / len(each)
