"""Queries about metrics."""

from collections.abc import Sequence

from core.registry.codec import join_value
from core.registry.database import Database
from core.registry.records import MetricPoint, MetricSummary
from core.registry.run_queries import read_among, segments
from core.registry.segments import visible_ranges


def metrics(
    database: Database, run_uuid: str, names: Sequence[str] | None
) -> dict[str, list[MetricPoint]]:
    """Every metric's values by step; superseded ones are left out."""
    keys = metric_keys(database, run_uuid, names)
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


def metric_times(
    database: Database, run_uuid: str, name: str, steps: Sequence[int]
) -> dict[int, float]:
    """When some steps of a metric were recorded, by step; seconds since the epoch."""
    found: dict[int, float] = {}
    for run, key in metric_keys(database, run_uuid, [name]).values():
        for part in visible_ranges(segments(database, run_uuid)):
            sql = """SELECT step, time FROM metric WHERE run = :run AND name = :name
                AND segment = :segment AND step IN (:values)"""
            held = [step for step in steps if part.holds(step)]
            found |= dict(database.read_in(sql, held, run=run, name=key, segment=part.segment))
    return found


def metric_keys(
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
    chosen = {f"n{number}": name for number, name in enumerate(names or ())}
    if chosen:
        listed = ", ".join(f":{key}" for key in chosen)
        sql += f" AND s.name IN (SELECT key FROM metric_name WHERE name IN ({listed}))"
    for uuid, name, last, nonfinite, *rest in read_among(database, sql, run_uuids, **chosen):
        if uuid in found:
            found[uuid][name] = MetricSummary(join_value(last, nonfinite), *rest)
    return found
