"""The curve behind a row of a table, in a few points: what a sparkline shows."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from a5ctl.figures import ACCURACY, figure_of
from a5ctl.format import BLOCKS
from a5ctl.tables.carried import Carried
from a5ctl.tables.entries import Entry
from a5ctl.tables.measures import LENGTH, measure_of
from core.registry.records import EvaluationRecord
from core.registry.store import Registry

POINTS = 8
Curve = tuple[tuple[int, float], ...]


def spark_curves(
    registry: Registry,
    entries: Sequence[Entry],
    name: str,
    grader: str | None,
    carried: Mapping[str, Carried],
) -> dict[str, Curve]:
    """(step, value) of every run that has the metric, by uuid.

    Steps of runs that it descends from come before its own, where those count. Of a metric of
    training only a few rows are read, however many steps there are.

    Args:
        registry: Where they are.
        entries: The runs.
        name: A figure of evaluations, or a metric.
        grader: What `accuracy` means; each evaluation's own grader when None.
        carried: What runs took over from those they began with, where that counts.
    """
    stages = {e.run.uuid: carried[e.run.uuid].stages for e in entries if e.run.uuid in carried}
    uuids = [e.run.uuid for e in entries]
    uuids += [stage.run.uuid for own in stages.values() for stage in own]
    uuids = list(dict.fromkeys(uuids))
    if measure_of(name).evaluated:
        splits = {e.run.uuid: e.evaluation.split for e in entries}
        splits = {s.run.uuid: splits[u] for u, own in stages.items() for s in own} | splits
        curves = _evaluated(registry, uuids, splits, name, grader)
    else:
        found = registry.sampled_curves(uuids, name, POINTS)
        curves = {uuid: tuple(points) for uuid, points in found.items()}
    joined = {e.run.uuid: _joined(e.run.uuid, curves, carried.get(e.run.uuid)) for e in entries}
    return {uuid: curve for uuid, curve in joined.items() if curve}


def mean_of(curves: Sequence[Curve]) -> tuple[float, ...]:
    """The values of several curves as one, of the same number of points."""
    columns = [[value for _, value in curve] for curve in curves]
    if len({len(column) for column in columns}) != 1:
        columns = [_resampled(column, POINTS) for column in columns]
    return tuple(sum(row) / len(row) for row in zip(*columns, strict=True))


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """At most `POINTS` blocks from `low` to `high`, so that rows can be compared."""
    shown = _resampled(values, POINTS) if len(values) > POINTS else list(values)
    span = (high - low) or 1.0
    last = len(BLOCKS) - 1
    return "".join(
        BLOCKS[min(last, max(0, int((last + 1) * (value - low) / span)))] for value in shown
    )


def _evaluated(
    registry: Registry,
    uuids: Sequence[str],
    splits: Mapping[str, str],
    name: str,
    grader: str | None,
) -> dict[str, Curve]:
    wanted = f"{ACCURACY}.{grader}" if grader is not None and name == ACCURACY else name
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for one in registry.evaluations(uuids):
        if one.split == splits[one.run_uuid] and (value := _value(one, wanted)) is not None:
            found[one.run_uuid][one.step] = value
    return {uuid: tuple(sorted(own.items())) for uuid, own in found.items()}


def _value(evaluation: EvaluationRecord, name: str) -> float | None:
    if name == LENGTH:
        mean = (evaluation.lengths.get("response") or {}).get("mean")
        return None if mean is None else float(mean)
    found = figure_of(evaluation, name)
    return None if found is None else found[0]


def _joined(uuid: str, curves: Mapping[str, Curve], carried: Carried | None) -> Curve:
    own = curves.get(uuid, ())
    points: list[tuple[int, float]] = []
    before = 0
    for stage in carried.stages if carried else ():
        curve = curves.get(stage.run.uuid, ())
        points += [(before + step, value) for step, value in curve if step <= stage.step]
        before += stage.step
    # where both have measured the weights that were passed on, once is enough
    repeated = points and own and own[0][0] == 0 and points[-1][0] == before
    return (*(points[:-1] if repeated else points), *((before + s, v) for s, v in own))


def _resampled(values: Sequence[float], count: int) -> list[float]:
    """So many values along a curve, between its points in proportion."""
    if len(values) == 1:
        return [values[0]] * count
    found = []
    for number in range(count):
        place = number * (len(values) - 1) / (count - 1)
        left = min(int(place), len(values) - 2)
        share = place - left
        found.append(values[left] * (1 - share) + values[left + 1] * share)
    return found
