"""Curves that the database makes smaller, beside the same done in plain Python."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.registry import curve_queries
from core.registry.records import CurvePoint
from core.registry.schema import Metric, MetricName, Segment, table
from core.registry.store import Registry, open_registry
from core.registry.summaries import rebuild_summaries
from tests.core.registry.conftest import new_run

Rows = dict[tuple[int, int], float]
"""(segment, step) -> value."""

_VALUES = st.one_of(st.integers(-50, 50).map(float), st.sampled_from([math.nan, math.inf]))


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[int, int]], Rows]:
    """Starts of segments, and what each segment recorded behind its start, with gaps."""
    starts, rows = [], {}
    for number in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, 25)) if number else 0
        if number:
            starts.append((number, start))
        for step in draw(st.sets(st.integers(start + 1, start + 25), max_size=20)):
            rows[number, step] = draw(_VALUES)
    return starts, rows


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return open_registry(f"sqlite:///{tmp_path_factory.mktemp('curves') / 'registry.db'}")


def stored(registry: Registry, starts: list[tuple[int, int]], rows: Rows) -> str:
    """A run that recorded this."""
    run = registry.create_run(new_run())
    with registry.database.begin() as connection:
        names = connection.exec_driver_sql("SELECT key FROM metric_name").fetchall()
        if not names:
            connection.execute(table(MetricName).insert(), [{"key": 1, "name": "loss"}])
        if starts:
            rows_ = [{"run": run.key, "number": n, "start_step": s, "time": 0.0} for n, s in starts]
            connection.execute(table(Segment).insert(), rows_)
        for (segment, step), value in rows.items():
            kept = value if math.isfinite(value) else None
            special = None if kept is not None else str(value)
            row = {"run": run.key, "name": 1, "segment": segment, "step": step, "time": 0.0}
            connection.execute(table(Metric).insert(), {**row, "value": kept, "nonfinite": special})
        rebuild_summaries(connection, run.key)
    return run.uuid


def visible(starts: list[tuple[int, int]], rows: Rows) -> list[tuple[int, float]]:
    """What no newer segment took back, by step."""
    return sorted(
        (step, value)
        for (segment, step), value in rows.items()
        if not any(number > segment and start < step for number, start in starts)
    )


def reference(seen: list[tuple[int, float]], points: int) -> list[CurvePoint]:
    """The same number of steps behind every point; empty ones are left out."""
    found = []
    for part in range(points):
        steps = seen[-1][0] + 1 if seen else 1
        own = [(step, value) for step, value in seen if step * points // steps == part]
        good = [value for _, value in own if math.isfinite(value)]
        if own:
            mean = sum(good) / len(good) if good else None
            low, high = min(good, default=None), max(good, default=None)
            bad = len(own) - len(good)
            found.append(CurvePoint(own[-1][0], mean, low, high, len(own), bad))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [0, 100], ids=["long", "short"])
@settings(max_examples=40, deadline=None)
@given(history=histories(), points=st.integers(1, 12))
def test_every_point_is_what_plain_python_makes_of_the_visible_values(
    house: Registry,
    grouped: int,
    history: tuple[list[tuple[int, int]], Rows],
    points: int,
) -> None:
    starts, rows = history
    uuid = stored(house, starts, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curve_queries, "_GROUPED", grouped)
        found = house.curves([uuid], ["loss"], points)[uuid].get("loss", [])
    wanted = reference(visible(starts, rows), points)
    assert [(p.step, p.lowest, p.highest, p.count, p.nonfinite) for p in found] == [
        (p.step, p.lowest, p.highest, p.count, p.nonfinite) for p in wanted
    ]
    assert [p.value for p in found] == pytest.approx([p.value for p in wanted])


def test_a_sampled_curve_looks_at_few_values_and_keeps_its_course(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curve_queries, "_GROUPED", 1)
    registry = open_registry(f"sqlite:///{tmp_path / 'registry.db'}")
    uuid = stored(registry, [(1, 50)], {(int(s > 50), s): float(s) for s in range(1, 101)})
    curve = registry.curves([uuid], ["loss"], points=10, sample=3)[uuid]["loss"]
    assert [point.count for point in curve] == [3] * 10
    assert [point.value for point in curve] == sorted(point.value or 0 for point in curve)
    assert (curve[-1].lowest, curve[-1].highest) == (91, 93), "the first of every stretch"


def test_long_and_short_curves_of_a_run_come_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = open_registry(f"sqlite:///{tmp_path / 'registry.db'}")
    uuid = stored(registry, [], {(0, step): 1.0 for step in range(1, 31)})
    with registry.database.begin() as connection:
        connection.execute(table(MetricName).insert(), [{"key": 2, "name": "kl"}])
        run = registry.run_by_uuid(uuid).key
        row = {"run": run, "name": 2, "segment": 0, "step": 1, "value": 0.5, "time": 0.0}
        connection.execute(table(Metric).insert(), row)
        rebuild_summaries(connection, run)
    monkeypatch.setattr(curve_queries, "_GROUPED", 1)
    found = registry.curves([uuid], points=10)[uuid]
    assert (len(found["loss"]), len(found["kl"])) == (10, 1)
