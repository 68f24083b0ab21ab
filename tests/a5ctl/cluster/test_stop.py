"""`a5ctl plan stop`, and the record of what was handed in."""

import subprocess
import sys
from pathlib import Path

import pytest

from a5ctl.cluster.ledger import Ledger
from core.errors import UserError
from core.plans.load import load_plan
from core.registry.processes import host_name, process_mark
from core.registry.records import NewRun
from core.registry.store import open_registry
from tests.a5ctl.conftest import House

PLAN = 'name = "p"\nseeds = [0]\n[base]\nkind = "sft"\n'


@pytest.fixture
def plan(house: House, tmp_path: Path) -> Path:
    (tmp_path / "plan.toml").write_text(PLAN)
    house.home.mkdir()
    return tmp_path / "plan.toml"


def test_a_cell_at_work_on_this_machine_is_told_to_stop(house: House, plan: Path) -> None:
    loaded = load_plan(plan)
    (cell,) = loaded.cells
    registry = open_registry(f"sqlite:///{house.home / 'registry.db'}")
    new = NewRun(
        kind="sft",
        config={},
        config_hash="0",
        model="m",
        data="d",
        group=loaded.name,
        tags=(cell.tag,),
    )
    run = registry.create_run(new)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with registry.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE run SET status = 'running', host = ?, pid = ?, process_start = ?",
            (host_name(), sleeper.pid, process_mark(sleeper.pid)),
        )
    result = house.run("plan", "stop", str(plan))
    assert f"run {run.id}, on this machine, stops at its next step" in result.output
    assert sleeper.wait(30) == -15


def test_nothing_at_work_is_nothing_to_stop(house: House, plan: Path) -> None:
    result = house.run("plan", "stop", str(plan))
    assert result.exit_code == 0
    assert "nothing of plan p is at work here or in a queue" in result.output
    assert house.run("plan", "stop", str(plan), "--quiet").output == ""


def test_what_was_handed_in_outlives_the_process_and_is_held_by_one(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.open()
    intended = ledger.intend(["a", "b"], "slurm", None, 1)
    with pytest.raises(UserError, match="another process follows the jobs of this plan"):
        Ledger(tmp_path).open()
    ledger.submitted(intended, "17")
    refused = ledger.intend(["b"], "slurm", 5, 2)
    ledger.refuse(refused)
    ledger.close()
    again = Ledger(tmp_path)
    again.open()
    assert [(each.job.job_id, each.job.cells) for each in again] == [
        ("17", ("a", "b")),
        (None, ("b",)),
    ]
    latest = again.latest("b")
    assert latest is not None
    assert latest.job.job_id == "17"
    assert not latest.is_over
    for index in range(2):
        (latest.job.folder / f"{index}.exit").write_text("0\n")
    assert latest.is_over
    again.close()


def test_a_damaged_record_is_no_reason_to_hand_in_twice(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.open()
    ledger.close()
    (tmp_path / "jobs" / "jobs.json").write_text("{")
    with pytest.raises(UserError, match=r"jobs\.json cannot be read"):
        Ledger(tmp_path).open()
    (tmp_path / "jobs" / "jobs.json").unlink()
    Ledger(tmp_path).open()
