"""Two runs' metrics, value by value: equal as 64-bit floats, or from which step on they are not."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.registry.records import MetricPoint

# what a clock or a memory meter says is never the same twice
_MEASURED = re.compile(r"seconds|per_second|memory|(^|_)(bytes|mib|gib)($|_)")


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One metric of both runs.

    Attributes:
        values: Steps at which both have a value.
        differing: Of those, how many have another value.
        missing: Steps at which only one of them has a value.
        first: First step that differs or is missing; None where all is the same.
        recorded: Value of the first run there; None where it has none.
        again: Value of the second run there; None where it has none.
        largest: Largest absolute difference of finite values.
        largest_relative: Largest difference as a share of the larger of both magnitudes.
    """

    name: str
    values: int
    differing: int
    missing: int
    first: int | None
    recorded: float | None
    again: float | None
    largest: float
    largest_relative: float

    @property
    def same(self) -> bool:
        """Bitwise, at every step."""
        return self.first is None


def is_measured(name: str) -> bool:
    """Whether a metric says how long something took or how much memory, and not what came out."""
    return _MEASURED.search(name) is not None


def last_step(curves: Mapping[str, Sequence[MetricPoint]]) -> int:
    """The last step of any metric; 0 where there is none."""
    return max((points[-1].step for points in curves.values() if points), default=0)


def compare_curves(
    recorded: Mapping[str, Sequence[MetricPoint]],
    again: Mapping[str, Sequence[MetricPoint]],
    last: int,
) -> list[MetricComparison]:
    """Every metric that either run has at steps up to `last`, measured ones left out, by name."""
    names = sorted(name for name in {*recorded, *again} if not is_measured(name))
    pairs = [
        (name, _until(recorded.get(name), last), _until(again.get(name), last)) for name in names
    ]
    return [_compare(name, old, new) for name, old, new in pairs if old or new]


def _until(points: Sequence[MetricPoint] | None, last: int) -> dict[int, float]:
    return {point.step: point.value for point in points or () if point.step <= last}


def _compare(name: str, old: Mapping[int, float], new: Mapping[int, float]) -> MetricComparison:
    both = sorted(old.keys() & new.keys())
    differing = [step for step in both if not _equal(old[step], new[step])]
    missing = sorted(old.keys() ^ new.keys())
    first = min([*differing[:1], *missing[:1]], default=None)
    gaps = [(abs(old[s] - new[s]), max(abs(old[s]), abs(new[s]))) for s in differing]
    finite = [(gap, size) for gap, size in gaps if math.isfinite(gap)]
    return MetricComparison(
        name,
        values=len(both),
        differing=len(differing),
        missing=len(missing),
        first=first,
        recorded=None if first is None else old.get(first),
        again=None if first is None else new.get(first),
        largest=max((gap for gap, _ in finite), default=0.0),
        largest_relative=max((gap / size for gap, size in finite if size), default=0.0),
    )


def _equal(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
