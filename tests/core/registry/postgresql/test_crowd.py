"""Many processes on one server: no row is lost, and nobody waits for somebody who waits."""

from pathlib import Path

import pytest

from core.registry.store import Registry
from tests.core.registry.postgresql.crowd import NAMES, record_together

PROCESSES, STEPS = 8, 20


@pytest.mark.slow
def test_eight_processes_record_at_once_and_lose_nothing(
    registry: Registry, url: str, tmp_path: Path
) -> None:
    assert record_together(url, tmp_path, PROCESSES, STEPS) == [0] * PROCESSES
    runs = {run.id: run for run in registry.runs()}
    assert set(runs) == {f"run-{number}" for number in range(1, PROCESSES + 1)}
    for number in range(1, PROCESSES + 1):
        run = runs[f"run-{number}"]
        assert run.status == "finished"
        curves = registry.metrics(run.uuid, NAMES)
        expected = [(step, float(step * number)) for step in range(1, STEPS + 1)]
        for name in NAMES:
            assert [(point.step, point.value) for point in curves[name]] == expected
        assert [event.kind for event in registry.events(run.uuid)] == ["tick"] * (STEPS // 10)
        found = registry.evaluations([run.uuid])
        assert [(e.step, e.n) for e in found] == [(s, 5) for s in range(10, STEPS + 1, 10)]
    (names,) = registry.database.read("SELECT COUNT(*), COUNT(DISTINCT name) FROM metric_name")
    assert names[0] == names[1]
    # refused rows would have used up keys
    assert registry.database.read("SELECT MAX(key) FROM metric_name")[0][0] < 2 * names[0]
