"""Metric curves while they are read: compact, bounded, and in the order the registry wants."""

import hashlib
import heapq
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from core.interchange.limits import LARGEST_STEP, MOST_NAMES, MOST_VALUES, short_name
from core.registry.entries import MetricsEntry

_Row = tuple[int, float, str, float]


@dataclass(slots=True)
class _Curve:
    steps: array = field(default_factory=lambda: array("q"))
    times: array = field(default_factory=lambda: array("d"))
    values: array = field(default_factory=lambda: array("d"))

    def add(self, step: int, when: float, value: float) -> None:
        self.steps.append(step)
        self.times.append(when)
        self.values.append(value)

    def cut(self, step: int) -> int:
        """Take back what was added for this step and later ones; how many values that was."""
        kept = [index for index, known in enumerate(self.steps) if known < step]
        gone = len(self.steps) - len(kept)
        if gone:
            for name in ("steps", "times", "values"):
                column = getattr(self, name)
                setattr(self, name, array(column.typecode, (column[index] for index in kept)))
        return gone

    def by_step(self) -> list[int]:
        """Positions in order of the steps; of several values of one step only the last."""
        return [
            position for _, position in sorted({s: i for i, s in enumerate(self.steps)}.items())
        ]


class Curves:
    """Values of metrics of one run.

    Attributes:
        left_out: Why values are missing, and how many.
    """

    def __init__(self) -> None:
        self.left_out: Counter[str] = Counter()
        self._curves: dict[str, _Curve] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def names(self) -> list[str]:
        """The metrics, in alphabetical order."""
        return sorted(self._curves)

    def add(self, name: str, step: int, when: float, value: float) -> None:
        """Add a value; a later one of the same step replaces it."""
        if not 0 <= step <= LARGEST_STEP:
            self.left_out["values with a step that is negative or too large"] += 1
            return
        if self._count >= MOST_VALUES:
            self.left_out[f"values beyond the first {MOST_VALUES:,}"] += 1
            return
        name = short_name(name)
        if not name or (name not in self._curves and len(self._curves) >= MOST_NAMES):
            self.left_out["values without a usable name"] += 1
            return
        self._curves.setdefault(name, _Curve()).add(step, when, value)
        self._count += 1

    def cut(self, name: str, step: int) -> None:
        """Take back values from this step on: the tool went back and did those steps again."""
        curve = self._curves.get(short_name(name))
        if curve is not None and (gone := curve.cut(step)):
            self._count -= gone
            self.left_out["values that a restart made again"] += gone

    def span(self) -> tuple[float | None, float | None]:
        """First and last time; None where there is no value."""
        times = [when for curve in self._curves.values() for when in curve.times if when > 0]
        return (min(times), max(times)) if times else (None, None)

    def entries(self, otherwise: float | None) -> Iterator[MetricsEntry]:
        """Journal entries by step, values of one step and time together.

        Args:
            otherwise: Time of values that have none.
        """
        fallback = time.time() if otherwise is None else otherwise
        sources = [self._rows(name, fallback) for name in self.names]
        merged = heapq.merge(*sources, key=itemgetter(0, 1, 2))
        for (step, when), rows in groupby(merged, key=itemgetter(0, 1)):
            values = {name: value for _, _, name, value in rows}
            yield MetricsEntry(segment=0, step=step, time=when, values=values)

    def digest(self) -> str:
        """The same for the same values."""
        digest = hashlib.sha256()
        for name in self.names:
            curve = self._curves[name]
            digest.update(name.encode() + b"\0")
            for column in (curve.steps, curve.times, curve.values):
                digest.update(column.tobytes())
        return digest.hexdigest()

    def doubled(self) -> int:
        """Values that a later one of the same step replaces."""
        return sum(len(c.steps) - len(set(c.steps)) for c in self._curves.values())

    def _rows(self, name: str, fallback: float) -> Iterator[_Row]:
        curve = self._curves[name]
        for index in curve.by_step():
            yield curve.steps[index], curve.times[index] or fallback, name, curve.values[index]
