"""Ticks and words of the axes, the same in the terminal and in pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from a5ctl.format import figure
from a5ctl.plots.panels import Axis, Line, Panel

_TIMES = ((3 * 3600.0, 3600.0, "hours"), (300.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))


@dataclass(frozen=True, slots=True)
class Bottom:
    """The axis along the bottom: its title, and what a unit of it is in units of the data."""

    title: str
    unit: float = 1.0


def bottom_axis(axis: Axis, panels: Sequence[Panel]) -> Bottom:
    """The axis of all panels; times in the unit that their longest asks for."""
    if axis is Axis.TOKENS:
        return Bottom("training tokens")
    if axis is Axis.STEP:
        return Bottom("step (optimizer updates)")
    longest = max((s.x for p in panels for line in p.lines for s in line.spots), default=0.0)
    unit, name = next((unit, name) for least, unit, name in _TIMES if longest >= least)
    return Bottom(f"{name} since the start", unit)


def extent(values: Sequence[float]) -> tuple[float, float]:
    """Smallest and largest; a little around a single value."""
    low, high = min(values), max(values)
    if low == high:
        half = abs(low) * 0.05 or 0.5
        return low - half, high + half
    return low, high


def tick(value: float, unit: str = "") -> str:
    """A round value."""
    if abs(value) < 1e-12:
        value = 0.0  # a sum of steps may miss it
    return f"{100 * value:.4g}%" if unit == "share" else figure(value)


def last_and_ends(line: Line) -> tuple[float, float, float]:
    """The last value that is drawn, and the ends of what lies behind all of them."""
    lowest, highest = min(s.low for s in line.spots), max(s.high for s in line.spots)
    return line.spots[-1].y, lowest, highest


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round values inside a range, about so many."""
    raw = (high - low) / max(1, wanted)
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(scale * m for m in (1, 2, 5, 10) if scale * m >= raw)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]
