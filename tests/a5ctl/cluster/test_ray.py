"""A plan on several Ray nodes, one of which dies in the middle of a run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.registry.store import Registry
from tests.a5ctl.cluster.plans import (
    assert_same_numbers,
    registry_of,
    runs_by_steps,
    wait_for,
    write_plan,
)
from tests.a5ctl.cluster.ray_nodes import Nodes, ray_nodes
from tests.a5ctl.conftest import ROOT, House

LONG, SHORT = 90, 4
KILL_AT = 20


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with ray_nodes(workers=2) as found:
        yield found


def reached(registry: Registry, steps: int, step: int) -> int | None:
    """The process of a run that is at least so far."""
    run = runs_by_steps(registry).get(steps)
    if run is None or registry.last_steps([run.uuid]).get(run.uuid, 0) < step:
        return None
    return run.pid


@pytest.mark.slow
@pytest.mark.parametrize("recording", ["node"])
def test_what_a_lost_node_was_at_work_at_goes_on_from_its_checkpoint_elsewhere(
    house: House, nodes: Nodes, tmp_path: Path, recording: str
) -> None:
    plan = write_plan(house, tmp_path / "plan.toml", f"{LONG}, {SHORT}")
    options = ("--on", nodes.address, "--recording", recording, "--json")
    process = house.process("plan", "run", str(plan), *options)
    wait_for((house.home / "registry.db").exists)
    registry = registry_of(house.home)
    pid = wait_for(lambda: reached(registry, LONG, KILL_AT))
    assert pid in nodes.lose_node_of(pid)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "its node was lost; another task goes on with it" in output
    runs = runs_by_steps(registry)
    assert {steps: run.status for steps, run in runs.items()} == {
        LONG: "finished",
        SHORT: "finished",
    }
    ((_, start),) = registry.segments(runs[LONG].uuid)
    assert start >= KILL_AT - 2, "it did not begin anew"
    calm = House(tmp_path / "calm", house.model, house.data)
    assert calm.run("plan", "run", str(plan), "--only", f"steps={LONG}").exit_code == 0
    other = registry_of(calm.home)
    assert_same_numbers(registry, other, runs[LONG].id, runs_by_steps(other)[LONG].id)
