"""A plan on a real Slurm: the end of its time is hit, and the follower is killed."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from a5ctl.cluster.batch import ArrayJob, Ending, Phase
from a5ctl.cluster.needs import Needs
from a5ctl.cluster.script import Errand
from a5ctl.cluster.site import Site
from a5ctl.cluster.slurm import Slurm
from tests.a5ctl.cluster.plans import (
    assert_same_numbers,
    registry_of,
    runs_by_steps,
    wait_for,
    write_plan,
)
from tests.a5ctl.cluster.slurm_here import SlurmHere, missing, slurm_here
from tests.a5ctl.conftest import ROOT, House

LONG, SHORT = 120, 4
SITE = """
walltime = "{walltime}"
margin = "{margin}"
ask_every = "1s"
partition = "debug"
cpus = 1
memory = "200M"
program = ["{python}", "{slow}"]
[environment]
OMP_NUM_THREADS = "1"
PYTHONPATH = "{root}"
"""
TOO_SHORT = {"walltime": "2m", "margin": "110s"}  # Slurm looks every 30 seconds
ENOUGH = {"walltime": "1h", "margin": "110s"}
# the first job of the long cell takes its time until Slurm tells it to stop, and does not hear of
# that before it has something to go on from, however slow the machine is
SLOW = """
import os, sys, time
first = os.environ["SLURM_ARRAY_TASK_ID"] == "0" and "--take-over" not in sys.argv
if first:
    import signal
    stop = {signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    from trainers.sft import SFT
    update = SFT.update
    def slowly(self, step):
        if step > 10:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, stop)
            time.sleep(0.5)
        return update(self, step)
    SFT.update = slowly
from a5ctl.__main__ import main
main()
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmHere]:
    if why := missing():
        pytest.skip(f"there is no Slurm: {why}")
    with slurm_here(tmp_path / "slurm") as found:
        monkeypatch.setenv("SLURM_CONF", str(found.conf))
        yield found


@pytest.mark.slow
def test_a_run_that_hits_its_walltime_goes_on_in_another_job_though_its_follower_was_killed(
    house: House, slurm: SlurmHere, tmp_path: Path
) -> None:
    import sys

    folder = tmp_path / "it's a $(folder)"
    folder.mkdir()
    plan = write_plan(house, folder / 'the "plan".toml', f"{LONG}, {SHORT}", name="a 'plan'\\n`id`")
    (tmp_path / "slow.py").write_text(SLOW)
    site = tmp_path / "site.toml"
    known = {"python": sys.executable, "slow": tmp_path / "slow.py", "root": ROOT}
    site.write_text(SITE.format(**known, **TOO_SHORT))
    home = House(folder / "home", house.model, house.data)
    command = ("plan", "run", str(plan), "--on", "slurm", "--site", str(site))

    killed = home.process(*command)
    (ledger,) = wait_for(lambda: list(home.home.glob("plans/*/jobs/jobs.json")))
    wait_for(lambda: json.loads(ledger.read_text())["jobs"][0]["job_id"])
    killed.kill()
    killed.communicate()
    site.write_text(SITE.format(**known, **ENOUGH))
    again = home.process(*command)
    output, _ = again.communicate(timeout=400)
    assert again.returncode == 0, output

    registry = registry_of(home.home)
    runs = runs_by_steps(registry)
    long_cell = next(tag for tag in runs[LONG].tags if tag.startswith("cell:"))[5:]
    jobs = json.loads(ledger.read_text())["jobs"]
    assert [job["tries"] for job in jobs if long_cell in job["cells"]] == [1, 2]
    assert len(jobs[0]["cells"]) == 2, "the killed follower's array was followed"
    told = f"cell {long_cell}: it was stopped before the end of its time; job 2 goes on with it"
    assert told in output
    assert {steps: run.status for steps, run in runs.items()} == {
        LONG: "finished",
        SHORT: "finished",
    }
    ((_, start),) = registry.segments(runs[LONG].uuid)
    assert start >= 10
    assert slurm.ask("squeue", "--noheader") == ""

    calm = House(tmp_path / "calm", house.model, house.data)
    assert calm.run("plan", "run", str(plan), "--only", f"steps={LONG}").exit_code == 0
    other = registry_of(calm.home)
    assert_same_numbers(registry, other, runs[LONG].id, runs_by_steps(other)[LONG].id)


def test_an_array_that_is_cancelled_ends_its_waiting_and_its_running_elements(
    slurm: SlurmHere, tmp_path: Path
) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    cell = 'trap "exit 143" TERM; touch up; while :; do sleep 0.05; done'
    errand = Errand("a5-stop", "t", ("a", "b"), folder, folder, ("bash", "-c", cell), {})
    system, script = Slurm(), folder / "job.sh"
    script.write_text(system.script(errand, Site(walltime="1h", at_once=1), Needs(0, 1)))
    job = ArrayJob("a5-stop", system.submit(script, os.environ), ("a", "b"), folder)
    assert system.find("a5-stop") == job.job_id
    assert system.find("a5-nothing") is None

    def phases() -> list[Phase]:
        found = system.elements([job])
        return [found[("a5-stop", index)].phase for index in range(2)]

    wait_for(lambda: phases() == [Phase.RUNNING, Phase.WAITING])
    wait_for((folder / "up").exists)
    system.cancel(job)
    wait_for(lambda: phases() == [Phase.ENDED, Phase.ENDED])
    assert system.elements([job])[("a5-stop", 1)].ending is Ending.CANCELLED
    assert job.exit_code(0) == 143
    assert system.elements([replace(job, job_id="99999")]) == {}
