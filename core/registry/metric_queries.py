"""Queries about metrics."""

from collections.abc import Mapping, Sequence

from core.registry.codec import join_value
from core.registry.database import Database
from core.registry.records import CurvePoint, MetricPoint, MetricSummary
from core.registry.run_queries import read_among, segments
from core.registry.segments import visible_ranges


def metrics(
    database: Database, run_uuid: str, names: Sequence[str] | None
) -> dict[str, list[MetricPoint]]:
    """Every metric's values by step; superseded ones are left out."""
    keys = _keys(database, run_uuid, names)
    ranges = visible_ranges(segments(database, run_uuid))
    found: dict[str, dict[int, MetricPoint]] = {name: {} for name in keys}
    for name, (run, key) in keys.items():
        for part in ranges:
            sql = """SELECT step, value, nonfinite, time FROM metric
                WHERE run = :run AND name = :name AND segment = :segment"""
            parameters = {"run": run, "name": key, "segment": part.segment}
            if part.last_step is not None:
                sql += " AND step <= :last"
                parameters["last"] = part.last_step
            for step, value, nonfinite, time in database.read(sql, parameters):
                found[name][step] = MetricPoint(step, join_value(value, nonfinite), time)
    return {name: [by_step[step] for step in sorted(by_step)] for name, by_step in found.items()}


def curves(
    database: Database, run_uuids: Sequence[str], names: Sequence[str] | None, points: int
) -> dict[str, dict[str, list[CurvePoint]]]:
    """At most so many points of every metric, by run and name; the database does the summing."""
    chosen = _chosen(names)
    among = f"AND n.name IN ({_listed(chosen)})" if chosen else ""
    sql = f"""SELECT r.uuid, n.name, CAST(m.step AS BIGINT) * :points / (s.last_step + 1) AS part,
            MAX(m.step), AVG(m.value), MIN(m.value), MAX(m.value), COUNT(*), COUNT(m.value)
        FROM run r JOIN metric_summary s ON s.run = r.key JOIN metric_name n ON n.key = s.name
        JOIN metric m ON m.run = s.run AND m.name = s.name
        WHERE r.uuid IN (:values) AND m.step <= s.last_step {among} AND NOT EXISTS (
            SELECT 1 FROM segment g
            WHERE g.run = m.run AND g.number > m.segment AND g.start_step < m.step)
        GROUP BY r.uuid, n.name, part ORDER BY r.uuid, n.name, part"""
    found: dict[str, dict[str, list[CurvePoint]]] = {uuid: {} for uuid in run_uuids}
    if names is not None and not names:
        return found
    rows = database.read_in(sql, list(run_uuids), points=points, **chosen)
    for uuid, name, _, step, mean, lowest, highest, every, finite in rows:
        point = CurvePoint(step, mean, lowest, highest, every, every - finite)
        found[uuid].setdefault(name, []).append(point)
    return found


def _keys(
    database: Database, run_uuid: str, names: Sequence[str] | None
) -> dict[str, tuple[int, int]]:
    """(key of the run, key of the name) of the run's metrics, by name."""
    sql = """SELECT n.name, s.run, n.key FROM metric_summary s
        JOIN run r ON r.key = s.run JOIN metric_name n ON n.key = s.name
        WHERE r.uuid = :uuid ORDER BY n.name"""
    rows = database.read(sql, {"uuid": run_uuid})
    return {name: (run, key) for name, run, key in rows if names is None or name in names}


def metric_summaries(
    database: Database, run_uuids: Sequence[str], names: Sequence[str] | None
) -> dict[str, dict[str, MetricSummary]]:
    """Summaries by run and name; of named metrics only their own rows are read."""
    found: dict[str, dict[str, MetricSummary]] = {uuid: {} for uuid in run_uuids}
    if names is not None and not names:
        return found
    sql = """SELECT r.uuid, n.name, s.last, s.last_nonfinite, s.last_step,
            s.lowest, s.lowest_step, s.highest, s.highest_step
        FROM metric_summary s JOIN run r ON r.key = s.run JOIN metric_name n ON n.key = s.name
        WHERE r.uuid IN (:values)"""
    chosen = _chosen(names)
    if chosen:
        sql += f" AND s.name IN (SELECT key FROM metric_name WHERE name IN ({_listed(chosen)}))"
    for uuid, name, last, nonfinite, *rest in read_among(database, sql, run_uuids, **chosen):
        if uuid in found:
            found[uuid][name] = MetricSummary(join_value(last, nonfinite), *rest)
    return found


def _chosen(names: Sequence[str] | None) -> dict[str, str]:
    return {f"n{number}": name for number, name in enumerate(names or ())}


def _listed(chosen: Mapping[str, str]) -> str:
    return ", ".join(f":{key}" for key in chosen)
