"""The curves of several seeds as their mean, with Student's interval."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace

from a5ctl.plots.labels import Drawn
from a5ctl.plots.panels import FEWEST_FOR_A_BAND, Form, Line, Panel, Spot
from core.statistics.student import mean_interval

_Read = Callable[[Spot], float]


def with_seeds_merged(panels: Sequence[Panel], drawn: Sequence[Drawn], points: int) -> list[Panel]:
    """The panels with one line for every setting, named by what differs.

    A mean goes as far as all of its seeds do: where one of them has stopped, the others would
    stand for all.

    Args:
        panels: With a line per run.
        drawn: Which runs are one line.
        points: At most so many per mean.
    """
    if all(len(one.runs) == 1 for one in drawn):
        return [_named(panel, drawn) for panel in panels]
    made: list[Panel] = []
    for panel in panels:
        if panel.form is not Form.STACK:
            made.append(replace(panel, lines=_merged(panel.lines, panel, drawn, points)))
    stacked = [panel for panel in panels if panel.form is Form.STACK]
    if not stacked:
        return made
    return _in_order(panels, made, _restacked(stacked, drawn, points))


def _in_order(
    panels: Sequence[Panel], single: Sequence[Panel], stacked: Sequence[Panel]
) -> list[Panel]:
    """Metrics as they were asked for."""
    order = list(dict.fromkeys(panel.metric for panel in panels))
    return sorted([*single, *stacked], key=lambda panel: order.index(panel.metric))


def _restacked(panels: Sequence[Panel], drawn: Sequence[Drawn], points: int) -> list[Panel]:
    every = [line for panel in panels for line in panel.lines]
    found: list[Panel] = []
    for one in drawn:
        own = [line for line in every if line.run in one.runs]
        lines = _merged(own, panels[0], [one], points)
        if lines:
            missing = panels[0].missing if not found else ()
            found.append(replace(panels[0], lines=lines, missing=missing))
    return found


def _named(panel: Panel, drawn: Sequence[Drawn]) -> Panel:
    labels = {one.name: one.label for one in drawn}
    lines = tuple(replace(line, label=labels[line.run]) for line in panel.lines)
    return replace(panel, lines=lines)


def _merged(
    lines: Sequence[Line], panel: Panel, drawn: Sequence[Drawn], points: int
) -> tuple[Line, ...]:
    parts = list(dict.fromkeys(line.part for line in lines))
    found: list[Line] = []
    for one in drawn:
        for part in parts:
            own = [line for line in lines if line.part == part and line.run in one.runs]
            found += _one_line(own, one, panel, points)
    return tuple(found)


def _one_line(own: Sequence[Line], one: Drawn, panel: Panel, points: int) -> list[Line]:
    if len(own) > 1 and (spots := _mean(own, panel, points)):
        lost = sum(line.nonfinite for line in own)
        part = own[0].part
        return [Line(one.name, spots, lost, one.label, part, tuple(own))]
    # seeds that have no place in common stay as they are
    return [replace(line, label=one.label if len(one.runs) == 1 else line.run) for line in own]


def _mean(lines: Sequence[Line], panel: Panel, points: int) -> tuple[Spot, ...]:
    steps = [[spot.step for spot in line.spots] for line in lines]
    if None not in steps[0] and all(own == steps[0] for own in steps[1:]):
        columns = list(zip(*(line.spots for line in lines), strict=True))
    else:
        columns = _on_one_grid(lines, points)
    return tuple(_joined(column, panel) for column in columns)


def _on_one_grid(lines: Sequence[Line], points: int) -> list[tuple[Spot, ...]]:
    """All lines at the same places, between neighbouring points in proportion."""
    first = max(line.spots[0].x for line in lines)
    last = min(line.spots[-1].x for line in lines)
    grid = sorted({s.x for line in lines for s in line.spots if first <= s.x <= last})
    grid = grid[:: -(-len(grid) // points)] if grid else []
    return [tuple(_at(line.spots, x) for line in lines) for x in grid]


def _at(spots: Sequence[Spot], x: float) -> Spot:
    right = bisect_left(spots, x, key=lambda spot: spot.x)
    if spots[right].x == x:
        return spots[right]
    a, b = spots[right - 1], spots[right]
    share = (x - a.x) / (b.x - a.x)

    def between(read: _Read) -> float:
        return read(a) + (read(b) - read(a)) * share

    return Spot(x, between(lambda s: s.y), between(lambda s: s.low), between(lambda s: s.high))


def _joined(spots: Sequence[Spot], panel: Panel) -> Spot:
    def mean(read: _Read) -> float:
        return sum(map(read, spots)) / len(spots)

    x, y = mean(lambda spot: spot.x), mean(lambda spot: spot.y)
    if panel.form is Form.RANGE:
        return Spot(x, y, mean(lambda s: s.low), mean(lambda s: s.high), spots[0].step)
    found = mean_interval([spot.y for spot in spots])
    if found is None or len(spots) < FEWEST_FOR_A_BAND:
        found = (y, y)
    low, high = found
    if all(spot.y >= 0 for spot in spots):
        low = max(0.0, low)  # what is never negative has no mean below zero
    if panel.unit == "share" and panel.evaluated:
        high = min(1.0, high)
    return Spot(x, y, low, high, spots[0].step)
