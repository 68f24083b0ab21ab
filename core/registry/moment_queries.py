"""What metrics were at some steps: rows that the primary key finds, however long runs are."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from core.registry.codec import join_value
from core.registry.database import Database
from core.registry.records import MetricPoint
from core.registry.run_queries import read_among
from core.registry.segments import VisibleRange, visible_ranges

_BEHIND_A_POINT = 8
Moment = tuple[str, int]


def values_at(
    database: Database, moments: Iterable[Moment], name: str
) -> dict[Moment, MetricPoint]:
    """The last visible value of a metric at or before each of some steps.

    Args:
        database: Where it is.
        moments: (uuid of a run, step).
        name: The metric.

    Returns:
        By moment; those without a value so far are left out.
    """
    wanted = list(dict.fromkeys(moments))
    uuids = list(dict.fromkeys(uuid for uuid, _ in wanted))
    keys, ranges = _keys(database, uuids, name), _ranges(database, uuids)
    found = {}
    for uuid, step in wanted:
        if uuid in keys:
            for part in reversed(ranges[uuid]):
                last = step if part.last_step is None else min(step, part.last_step)
                point = _last_before(database, keys[uuid], part.segment, last)
                if point is not None:
                    found[uuid, step] = point
                    break
    return found


def sampled_curves(
    database: Database, run_uuids: Sequence[str], name: str, points: int
) -> dict[str, list[tuple[int, float]]]:
    """A metric at so many places of every run, each the mean of a few finite values.

    Of a run of any length as many rows are read: for curves as small as a word.

    Args:
        database: Where it is.
        run_uuids: The runs.
        name: The metric.
        points: At least 2.

    Returns:
        (step, value) by run; runs without the metric are left out.
    """
    parts = ", ".join(f"({part})" for part in range(points))
    sql = f"""WITH part(number) AS (VALUES {parts}),
        chosen AS (SELECT r.uuid AS uuid, s.run AS run, s.name AS name, s.last_step AS last_step
            FROM run r JOIN metric_summary s ON s.run = r.key JOIN metric_name n ON n.key = s.name
            WHERE r.uuid IN (:values) AND n.name = :name),
        place AS (SELECT c.uuid AS uuid, c.run AS run, c.name AS name, c.last_step AS last_step,
            CAST(c.last_step AS BIGINT) * p.number / {points - 1} AS step FROM chosen c, part p)
        SELECT DISTINCT p.uuid, p.step, (SELECT AVG(value) FROM (SELECT m.value FROM metric m
            WHERE m.run = p.run AND m.name = p.name AND m.step >= p.step
                AND m.step <= COALESCE((SELECT MIN(g.start_step)
                    FROM segment g WHERE g.run = p.run AND g.start_step >= p.step), p.last_step)
                AND m.segment = COALESCE((SELECT MAX(g.number)
                    FROM segment g WHERE g.run = p.run AND g.start_step < p.step), 0)
            ORDER BY m.step LIMIT {_BEHIND_A_POINT}) AS looked_at)
        FROM place p ORDER BY p.uuid, p.step"""
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for uuid, step, value in database.read_in(sql, list(run_uuids), name=name):
        if value is not None:
            found[uuid].append((step, value))
    return dict(found)


def _keys(database: Database, run_uuids: Sequence[str], name: str) -> dict[str, tuple[int, int]]:
    sql = """SELECT r.uuid, s.run, s.name FROM metric_summary s JOIN run r ON r.key = s.run
        JOIN metric_name n ON n.key = s.name WHERE r.uuid IN (:values) AND n.name = :name"""
    return {row[0]: (row[1], row[2]) for row in read_among(database, sql, run_uuids, name=name)}


def _ranges(database: Database, run_uuids: Sequence[str]) -> dict[str, list[VisibleRange]]:
    sql = """SELECT r.uuid, s.number, s.start_step FROM segment s JOIN run r ON r.key = s.run
        WHERE r.uuid IN (:values)"""
    starts: dict[str, list[tuple[int, int]]] = {uuid: [] for uuid in run_uuids}
    for uuid, number, start in read_among(database, sql, run_uuids):
        if uuid in starts:
            starts[uuid].append((number, start))
    return {uuid: visible_ranges(own) for uuid, own in starts.items()}


def _last_before(
    database: Database, key: tuple[int, int], segment: int, step: int
) -> MetricPoint | None:
    sql = """SELECT step, value, nonfinite, time FROM metric
        WHERE run = :run AND name = :name AND segment = :segment AND step <= :step
        ORDER BY step DESC LIMIT 1"""
    given = {"run": key[0], "name": key[1], "segment": segment, "step": step}
    for at, value, nonfinite, time in database.read(sql, given):
        return MetricPoint(at, join_value(value, nonfinite), time)
    return None
