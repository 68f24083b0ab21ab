"""Stretches of metrics with their times: a part of a curve, or what came to it since."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.registry.database import Database, Row
from core.registry.metric_queries import metric_keys
from core.registry.records import CurvePoint
from core.registry.run_queries import segments
from core.registry.segments import VisibleRange, visible_ranges


@dataclass(frozen=True, slots=True)
class StretchPoint(CurvePoint):
    """The same with a time; a single value mostly.

    Attributes:
        time: When the last of them was recorded, in seconds since the epoch.
    """

    time: float


def stretches(
    database: Database,
    run_uuid: str,
    names: Sequence[str],
    steps: tuple[int, int],
    points: int,
) -> dict[str, list[StretchPoint]]:
    """Metrics between two steps, in at most so many points each.

    Args:
        database: Where they are.
        run_uuid: The run.
        names: Metrics; those that the run does not have are left out.
        steps: First and last step, both included.
        points: At most so many for each metric; the database sums up what is more.
    """
    keys = metric_keys(database, run_uuid, names)
    ranges = visible_ranges(segments(database, run_uuid))
    found: dict[str, list[StretchPoint]] = {}
    for name, (run, key) in keys.items():
        rows = [row for part in ranges for row in _read(database, run, key, part, steps, points)]
        found[name] = [_point(row) for row in sorted(rows, key=lambda row: row[0])]
    return found


def _read(
    database: Database,
    run: int,
    key: int,
    part: VisibleRange,
    steps: tuple[int, int],
    points: int,
) -> list[Row]:
    first, last = steps
    until = last if part.last_step is None else min(last, part.last_step)
    if until < first:
        return []
    sql = """SELECT MAX(step), AVG(value), MIN(value), MAX(value), COUNT(*), COUNT(value),
            MAX(time)
        FROM metric WHERE run = :run AND name = :name AND segment = :segment
            AND step >= :first AND step <= :until
        GROUP BY (CAST(step AS BIGINT) - :first) / :width"""
    limits = {"first": first, "until": until, "width": max(1, -(-(last - first + 1) // points))}
    return database.read(sql, {"run": run, "name": key, "segment": part.segment, **limits})


def _point(row: Row) -> StretchPoint:
    step, mean, lowest, highest, every, finite, time = row
    return StretchPoint(step, mean, lowest, highest, every, every - finite, time)
