"""Keeps the short form of every metric up to date, so that listings never scan steps."""

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, select

from core.registry.codec import join_value, split_value
from core.registry.records import MetricSummary
from core.registry.schema import Metric, Segment, table
from core.registry.schema import MetricSummary as MetricSummaryTable
from core.registry.segments import visible_ranges
from core.registry.upsert import upsert

_STEP, _VALUE = itemgetter(0), itemgetter(1)


def extend(summary: MetricSummary | None, step: int, value: float) -> MetricSummary:
    """The summary after one more value; seeing a value twice changes nothing."""
    s = summary or MetricSummary(value, step, None, None, None, None)
    last, last_step = (value, step) if step >= s.last_step else (s.last, s.last_step)
    lowest, lowest_step = s.lowest, s.lowest_step
    highest, highest_step = s.highest, s.highest_step
    if math.isfinite(value):
        if lowest is None or value < lowest:
            lowest, lowest_step = value, step
        if highest is None or value > highest:
            highest, highest_step = value, step
    return MetricSummary(last, last_step, lowest, lowest_step, highest, highest_step)


def extend_by(
    summary: MetricSummary | None, points: Sequence[tuple[int, float]]
) -> MetricSummary | None:
    """The summary after (step, value) points, in the order they were recorded."""
    finite = [point for point in points if math.isfinite(point[1])]
    telling = [min(finite, key=_VALUE), max(finite, key=_VALUE)] if finite else []
    # sorting keeps the order of equal steps: the one recorded last counts
    for step, value in [*telling, *sorted(points, key=_STEP)[-1:]]:
        summary = extend(summary, step, value)
    return summary


def update_summaries(
    connection: Connection, run: int, points: Mapping[int, Sequence[tuple[int, float]]]
) -> None:
    """Fold new values into the stored summaries.

    Args:
        connection: An open write transaction.
        run: Key of the run.
        points: (step, value) in the order they were recorded, by the key of the metric's name.
    """
    known = _stored(connection, run)
    changed = {name: extend_by(known.get(name), found) for name, found in points.items()}
    _write(connection, run, {name: one for name, one in changed.items() if one is not None})


def rebuild_summaries(connection: Connection, run: int) -> None:
    """Compute the summaries again from the values that count; needed when a segment begins."""
    segments, metrics = table(Segment), table(Metric)
    starts = select(segments.c.number, segments.c.start_step).where(segments.c.run == run)
    ranges = {
        r.segment: r for r in visible_ranges((row[0], row[1]) for row in connection.execute(starts))
    }
    values = (
        select(
            metrics.c.name, metrics.c.segment, metrics.c.step, metrics.c.value, metrics.c.nonfinite
        )
        .where(metrics.c.run == run)
        .order_by(metrics.c.name, metrics.c.segment, metrics.c.step)
    )
    found: dict[int, MetricSummary] = {}
    for name, segment, step, value, nonfinite in connection.execute(values):
        if segment in ranges and ranges[segment].holds(step):
            found[name] = extend(found.get(name), step, join_value(value, nonfinite))
    summaries = table(MetricSummaryTable)
    connection.execute(summaries.delete().where(summaries.c.run == run))
    _write(connection, run, found)


def _stored(connection: Connection, run: int) -> dict[int, MetricSummary]:
    summaries = table(MetricSummaryTable)
    rows = connection.execute(select(summaries).where(summaries.c.run == run)).mappings()
    return {
        row["name"]: MetricSummary(
            join_value(row["last"], row["last_nonfinite"]),
            row["last_step"],
            row["lowest"],
            row["lowest_step"],
            row["highest"],
            row["highest_step"],
        )
        for row in rows
    }


def _write(connection: Connection, run: int, summaries: dict[int, MetricSummary]) -> None:
    rows: list[dict[str, Any]] = []
    for name, summary in summaries.items():
        last, nonfinite = split_value(summary.last)
        rows.append(
            {
                "run": run,
                "name": name,
                "last": last,
                "last_nonfinite": nonfinite,
                "last_step": summary.last_step,
                "lowest": summary.lowest,
                "lowest_step": summary.lowest_step,
                "highest": summary.highest,
                "highest_step": summary.highest_step,
            }
        )
    upsert(connection, table(MetricSummaryTable), rows, ("run", "name"))
