"""A plan on PBS: what is handed in, what is followed, and what is handed in again."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from a5ctl.cluster.batch import Element, Ending, Phase
from a5ctl.cluster.pbs import element_id, parse_status
from a5ctl.cluster.site import PbsKind
from core.plans.load import load_plan
from tests.a5ctl.cluster import fake_pbs, stand_in
from tests.a5ctl.cluster.plans import wait_for
from tests.a5ctl.conftest import ROOT, House

PLAN = """
name = "queue"
seeds = [0, 1, 2]
[base]
kind = "sft"
"""
SITE = """
walltime = "1h"
margin = "1s"
ask_every = "1s"
recording = "shared"
program = ["{python}", "{stand_in}", "{lives}"]
[environment]
PYTHONPATH = "{root}"
"""


@dataclass(frozen=True, slots=True)
class Queue:
    """A plan, a site, and a PBS that does not exist."""

    house: House
    folder: Path
    plan: Path
    site: Path

    @property
    def cells(self) -> list[str]:
        return list(load_plan(self.plan).by_id)

    @property
    def ledger(self) -> list[dict[str, Any]]:
        (path,) = self.house.home.glob("plans/*/jobs/jobs.json")
        return json.loads(path.read_text())["jobs"]

    def does(self, *what: str) -> None:
        for cell, words in zip(self.cells, what, strict=True):
            (self.folder / f"{cell}.does").write_text(words)

    def lives(self, cell: str) -> list[str]:
        return (self.folder / f"{cell}.lives").read_text().splitlines()

    def command(self, *more: str) -> tuple[str, ...]:
        return ("plan", "run", str(self.plan), "--on", "pbs", "--site", str(self.site), *more)

    def follow(self, *more: str) -> subprocess.Popen[str]:
        return self.house.process(*self.command(*more))


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    bin_ = fake_pbs.install(tmp_path / "pbs")
    monkeypatch.setenv("PATH", f"{bin_}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    plan, site = folder / "plan.toml", folder / "site.toml"
    plan.write_text(PLAN)
    made = Queue(House(folder / "home", folder, folder), folder, plan, site)
    python = sys.executable
    site.write_text(SITE.format(python=python, stand_in=stand_in.__file__, lives=folder, root=ROOT))
    yield made
    fake_pbs.end_all(tmp_path / "pbs")


@pytest.mark.slow
def test_a_cell_that_runs_out_of_time_gets_another_job_and_a_failed_one_none(queue: Queue) -> None:
    queue.does("finish", "stop finish", "fail finish")
    first, second, third = queue.cells
    result = queue.house.run(*queue.command())
    assert result.exit_code == 1, result.output
    assert [(job["cells"], job["tries"], job["job_id"]) for job in queue.ledger] == [
        ([first, second, third], 1, "1[].server"),
        ([second], 2, "2.server"),
    ]
    assert f"cell {second}: it was stopped before the end of its time; job 2" in result.output
    assert "no such thing as a learning rate" in result.output
    assert "2 finished" in result.output
    assert len(queue.lives(first)) == len(queue.lives(third)) == 1
    lives = queue.lives(second)
    assert ["--take-over" in life for life in lives] == [False, True]


@pytest.mark.slow
def test_a_follower_killed_before_it_knows_the_job_finds_it_and_hands_nothing_in_twice(
    queue: Queue, tmp_path: Path
) -> None:
    queue.does(*["wait"] * 3)
    (tmp_path / "pbs" / "hang").touch()
    killed = queue.follow()
    wait_for(lambda: list((tmp_path / "pbs" / "job-1").glob("2.pid")))
    killed.kill()
    killed.wait()
    (tmp_path / "pbs" / "hang").unlink()
    assert [job["job_id"] for job in queue.ledger] == [None]

    again = queue.follow()
    wait_for(lambda: queue.ledger[0]["job_id"] == "1[].server")
    other = queue.house.run(*queue.command())
    assert other.exit_code == 2
    assert "another process follows the jobs" in " ".join(other.output.split())

    wait_for(lambda: all((queue.folder / f"{cell}.lives").exists() for cell in queue.cells))
    again.send_signal(signal.SIGINT)
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 130, output
    told = "the jobs go on without this command; the same command follows them again, and "
    assert f"{told}a5ctl plan stop {shlex.quote(str(queue.plan))} stops them" in output

    assert len(list((tmp_path / "pbs").glob("job-*"))) == 1
    stopped = queue.house.json("plan", "stop", str(queue.plan))
    assert list(stopped["jobs"]) == ["1[].server"]
    (folder,) = queue.house.home.glob("plans/*/jobs/a5-*")
    wait_for(lambda: len(list(folder.glob("*.exit"))) == 3)
    assert {path.read_text() for path in folder.glob("*.exit")} == {"143\n"}
    assert queue.house.json("plan", "stop", str(queue.plan)) == {"jobs": {}, "runs": []}
    assert len(list((tmp_path / "pbs").glob("job-*"))) == 1


@pytest.mark.slow
def test_what_the_batch_system_says_is_told_and_nothing_is_left(
    queue: Queue, tmp_path: Path
) -> None:
    (tmp_path / "pbs" / "refuse").write_text("qsub: Unknown queue\n")
    result = queue.house.run(*queue.command())
    assert result.exit_code == 2
    assert "openpbs refused the jobs: qsub: qsub: Unknown queue" in " ".join(result.output.split())
    assert [job["refused"] for job in queue.ledger] == [True]


def test_cells_that_are_done_are_left_out(queue: Queue) -> None:
    queue.house.home.mkdir()
    stand_in.record(queue.house.home, queue.plan, queue.cells[1])
    (shown,) = queue.house.json(*queue.command("--dry-run"))
    assert shown["cells"] == [queue.cells[0], queue.cells[2]]
    assert not list(queue.house.home.glob("plans/*/jobs"))


def test_states_are_read_from_what_qstat_prints() -> None:
    text = (
        "Job Id: 12[].pbs\n    job_state = B\n    array = True\n\n"
        "Job Id: 12[0].pbs\n    job_state = R\n    exec_host = node\n\t7/0*4\n\n"
        "Job Id: 12[1].pbs\n    job_state = Q\n    comment = Not Running: no free\n\t GPU\n\n"
        "Job Id: 12[2].pbs\n    job_state = X\n    Exit_status = -29\n\n"
        "Job Id: 12[3].pbs\n    job_state = X\n    Exit_status = 271\n\n"
    )
    assert parse_status(text) == {
        0: Element(Phase.RUNNING, node="node7"),
        1: Element(Phase.WAITING, reason="Not Running: no free GPU"),
        2: Element(Phase.ENDED, Ending.OUT_OF_TIME),
        3: Element(Phase.ENDED, Ending.CANCELLED),
    }
    torque = "Job Id: 7.pbs\n    job_state = C\n    exit_status = -11\n"
    assert parse_status(torque, PbsKind.TORQUE) == {0: Element(Phase.ENDED, Ending.OUT_OF_TIME)}
    assert element_id("12[].pbs", 3) == "12[3].pbs"
    assert element_id("7.pbs", 0) == "7.pbs"
