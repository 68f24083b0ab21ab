"""Curves in a few hundred points: the database does the summing, whatever a run's length.

Short curves, all of them, are one query that groups rows; which ones they are is settled first,
or SQLite would scan the long ones to find out. Of a long one SQLite would sort every row
for that; its points are ranges of the primary key instead, five times as fast for a million steps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.registry.database import Database, Row
from core.registry.records import CurvePoint
from core.registry.run_queries import segments
from core.registry.segments import VisibleRange, visible_ranges

_GROUPED = 100
"""Steps behind one point, up to which a curve is short."""


@dataclass(frozen=True, slots=True)
class _Long:
    """One long curve: keys of run and name, and the number of steps."""

    run: str
    name: str
    run_key: int
    name_key: int
    steps: int


def curves(
    database: Database,
    run_uuids: Sequence[str],
    names: Sequence[str] | None,
    points: int,
    sample: int | None = None,
) -> dict[str, dict[str, list[CurvePoint]]]:
    """At most so many points of every metric, by run and name.

    Args:
        database: Where they are.
        run_uuids: The runs.
        names: Metrics; all when None.
        points: At most so many per curve.
        sample: Behind one point of a long curve look only at so many values, its first ones: the
            cost is the same however long the run is. All of them when None.
    """
    found: dict[str, dict[str, list[CurvePoint]]] = {uuid: {} for uuid in run_uuids}
    if names is not None and not names:
        return found
    for uuid, name, _, step, mean, lowest, highest, every, finite in _short(
        database, run_uuids, names, points
    ):
        point = CurvePoint(step, mean, lowest, highest, every, every - finite)
        found[uuid].setdefault(name, []).append(point)
    ranges: dict[str, list[VisibleRange]] = {}
    for curve in _long(database, run_uuids, names, points):
        if curve.run not in ranges:
            ranges[curve.run] = visible_ranges(segments(database, curve.run))
        made = _points(database, curve, ranges[curve.run], points, sample)
        found[curve.run][curve.name] = list(made)
    return found


def _short(
    database: Database, run_uuids: Sequence[str], names: Sequence[str] | None, points: int
) -> list[Row]:
    among, parameters = _among(names)
    sql = f"""WITH chosen AS MATERIALIZED (
            SELECT r.uuid, n.name, s.run, s.name AS key, s.last_step
            FROM run r JOIN metric_summary s ON s.run = r.key JOIN metric_name n ON n.key = s.name
            WHERE r.uuid IN (:values) AND s.last_step < :long {among})
        SELECT c.uuid, c.name, CAST(m.step AS BIGINT) * :points / (c.last_step + 1) AS part,
            MAX(m.step), AVG(m.value), MIN(m.value), MAX(m.value), COUNT(*), COUNT(m.value)
        FROM chosen c JOIN metric m ON m.run = c.run AND m.name = c.key
        WHERE m.step <= c.last_step AND NOT EXISTS (SELECT 1 FROM segment g
            WHERE g.run = m.run AND g.number > m.segment AND g.start_step < m.step)
        GROUP BY c.uuid, c.name, part ORDER BY c.uuid, c.name, part"""
    limits = {"points": points, "long": points * _GROUPED}
    return database.read_in(sql, list(run_uuids), **limits, **parameters)


def _long(
    database: Database, run_uuids: Sequence[str], names: Sequence[str] | None, points: int
) -> list[_Long]:
    among, parameters = _among(names)
    sql = f"""SELECT r.uuid, n.name, s.run, s.name, s.last_step + 1
        FROM run r JOIN metric_summary s ON s.run = r.key JOIN metric_name n ON n.key = s.name
        WHERE r.uuid IN (:values) AND s.last_step >= :long {among} ORDER BY n.name"""
    found = database.read_in(sql, list(run_uuids), long=points * _GROUPED, **parameters)
    return [_Long(*row) for row in found]


def _among(names: Sequence[str] | None) -> tuple[str, dict[str, str]]:
    chosen = {f"n{number}": name for number, name in enumerate(names or ())}
    listed = ", ".join(f":{key}" for key in chosen)
    return (f"AND n.name IN ({listed})" if chosen else ""), chosen


def _points(
    database: Database,
    curve: _Long,
    ranges: Sequence[VisibleRange],
    points: int,
    sample: int | None,
) -> Iterator[CurvePoint]:
    for part in range(points):
        first, behind = (-(-number * curve.steps // points) for number in (part, part + 1))
        parts = []
        for visible in ranges:
            last = behind - 1 if visible.last_step is None else min(behind - 1, visible.last_step)
            if first <= last:
                parts += _read(database, curve, visible.segment, (first, last), sample)
        if found := [row for row in parts if row[-2]]:
            yield _joined(found)


def _read(
    database: Database, curve: _Long, segment: int, steps: tuple[int, int], sample: int | None
) -> list[Row]:
    sql = """SELECT MAX(step), AVG(value), MIN(value), MAX(value), COUNT(*), COUNT(value)
        FROM {rows}"""
    rows = """metric WHERE run = :run AND name = :name AND segment = :segment
        AND step >= :first AND step <= :last"""
    if sample is not None:
        rows = f"(SELECT step, value FROM {rows} ORDER BY step LIMIT {sample:d}) AS looked_at"
    keys = {"run": curve.run_key, "name": curve.name_key, "segment": segment}
    limits = {"first": steps[0], "last": steps[1]}
    return database.read(sql.format(rows=rows), {**keys, **limits})


def _joined(parts: Sequence[Row]) -> CurvePoint:
    """One point of rows of (last step, mean, lowest, highest, values, finite values)."""
    every, finite = sum(row[4] for row in parts), sum(row[5] for row in parts)
    known = [row for row in parts if row[5]]
    mean = known[0][1] if len(known) == 1 else None
    if len(known) > 1:
        mean = sum(row[1] * row[5] for row in known) / finite
    return CurvePoint(
        step=max(row[0] for row in parts),
        value=mean,
        lowest=min((row[2] for row in known), default=None),
        highest=max((row[3] for row in known), default=None),
        count=every,
        nonfinite=every - finite,
    )
