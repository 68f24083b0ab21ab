"""A cell that records into a registry of its node's own."""

from pathlib import Path

import pytest

from core.plans.load import load_plan
from tests.a5ctl.cluster.plans import write_plan
from tests.a5ctl.conftest import House


@pytest.mark.slow
def test_a_cell_on_a_node_leaves_its_journal_and_knows_it_again(
    house: House, tmp_path: Path
) -> None:
    plan = write_plan(house, tmp_path / "plan.toml", "2")
    (cell,) = load_plan(plan).by_id
    first = house.run("plan", "cell", str(plan), cell, "--on-node", "--quiet")
    assert first.exit_code == 0, first.output
    assert not (house.home / "registry.db").exists()
    again = house.run("plan", "cell", str(plan), cell, "--on-node")
    assert again.exit_code == 0
    assert f"cell {cell} is finished" in again.output
    (run,) = (house.home / "runs").iterdir()
    assert house.run("import", str(run)).exit_code == 0
    (shown,) = house.json("plan", "status", str(plan))
    assert (shown["state"], shown["run"]) == ("finished", run.name)
