"""Full disks, signals at any moment, readers that leave, two runs at once: nothing is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.registry.liveness import display_status
from core.registry.store import Registry, open_registry
from tests.a5ctl.conftest import ROOT, House

LONG = ("--steps", "2000", "--set", "train.checkpoint_every=50", "--eval-every", "1000")
ANNOUNCED = "from a5ctl.__main__ import main; print('up', flush=True); main()"


def registry_of(house: House) -> Registry:
    return open_registry(f"sqlite:///{house.home / 'registry.db'}")


def the_run(house: House):
    (run,) = registry_of(house).runs()
    return run


def the_run_by_folder(house: House) -> str:
    return next((house.home / "runs").iterdir()).name


def wait_for(ready: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not ready():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "the run did not get that far in time"
        time.sleep(0.01)


def mount(folder: Path, *options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")


@pytest.fixture
def disk(house: House) -> Iterator[Callable[..., None]]:
    """Puts the workspace on a disk of its own; called again, it changes that disk."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root on Linux")
    house.home.mkdir()
    mounted = False

    def change(*options: str) -> None:
        nonlocal mounted
        mount(house.home, *options, *(("remount",) if mounted else ()))
        mounted = True

    yield change
    if mounted:
        subprocess.run(["umount", "-l", str(house.home)], check=True)


def finished(process: subprocess.Popen[str], code: int) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    assert "Traceback" not in output, output
    return " ".join(output.split())


@pytest.mark.slow
@pytest.mark.parametrize("size", ["900k", "2m", "3m"])
def test_a_full_disk_ends_in_one_sentence_and_the_run_goes_on_later(
    house: House, disk: Callable[..., None], size: str
) -> None:
    disk(f"size={size}")
    said = finished(house.process("run", "sft", *house.small, "--steps", "30"), 2)
    assert "No space left on device" in said
    assert "free some space, then go on with: a5ctl resume" in said
    folder = next((house.home / "runs").iterdir())
    left = {path.name for path in folder.rglob("*")}
    assert not any("partial" in name or name == ".reserve" for name in left), left
    run = the_run(house)
    assert run.status == "failed"
    assert "could not be written" in run.exit_reason
    disk("size=100m")
    assert house.run("resume", run.id, "--quiet").exit_code == 0
    assert the_run(house).status == "finished"
    points = registry_of(house).metrics(run.uuid)["loss"]
    assert [point.step for point in points] == list(range(1, 31))


def test_a_disk_without_room_for_a_registry_is_named(
    house: House, disk: Callable[..., None]
) -> None:
    disk("size=60k")
    result = house.run("run", "sft", *house.small)
    assert result.exit_code == 2
    assert "disk is full" in " ".join(result.output.split())
    assert not (house.home / "runs").exists()


@pytest.mark.slow
def test_a_read_only_workspace_can_be_read_but_not_run_in(
    house: House, disk: Callable[..., None]
) -> None:
    disk("size=20m")
    # a process of its own leaves no file open, which would keep the disk writable
    finished(house.process("run", "sft", *house.small), 0)
    run_id = the_run_by_folder(house)
    disk("ro")
    refused = house.run("run", "sft", *house.small)
    assert refused.exit_code == 2
    said = " ".join(refused.output.split())
    assert "cannot be written (Read-only file system)" in said
    assert "choose another folder with --home" in said
    for command in (("ls",), ("show", run_id), ("diagnose", run_id), ("compare",)):
        result = house.run(*command)
        assert result.exit_code == 0, result.output


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.2, 0.8, 1.5, 2.2])
def test_a_stop_during_start_up_is_one_sentence(house: House, seconds: float) -> None:
    process = house.process("run", "sft", *house.small, *LONG, "--quiet", entry=("-c", ANNOUNCED))
    # before this line a stop would hit Python itself, which on a busy machine takes long to start
    assert process.stdout.readline() == "up\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    output = process.stdout.read()
    process.wait(timeout=300)
    # where a stop hits code that an import executes from a string, CPython ends by the signal
    # itself, whatever code was asked for; shells report 130 for both
    assert process.returncode in (130, -signal.SIGINT), output
    assert "Traceback" not in output
    assert "stopped by SIGINT" in output
    if (house.home / "registry.db").exists():
        assert all(run.status == "interrupted" for run in registry_of(house).runs())


PHASES = {
    "preflight": "loading the model",
    "engine": "starting the engine",
    "evaluation": "copying the policy",
    "training": "step 1/",
}


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("engine", ["hf", pytest.param("vllm", marks=pytest.mark.vllm)])
def test_a_stop_in_any_phase_marks_the_run_and_it_goes_on(
    house: House, engine: str, phase: str
) -> None:
    options = (*house.small, "--steps", "300", "--engine", engine)
    process = house.process("run", "sft", *options)
    before = []
    for line in process.stdout:
        before.append(line)
        if PHASES[phase] in line:
            break
    process.send_signal(signal.SIGINT)
    after = process.stdout.read()
    assert process.wait(timeout=300) == 130, "".join(before) + after
    assert "Traceback" not in after, after
    run = the_run(house)
    assert (run.status, run.exit_reason) == ("interrupted", "SIGINT")
    assert f"go on with: a5ctl resume {run.id}" in " ".join(after.split())
    again = house.process("resume", run.id, "--quiet")
    finished(again, 0)
    assert the_run(house).status == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["checkpoint", "evaluation"])
def test_a_kill_while_something_is_written_loses_nothing(house: House, moment: str) -> None:
    every = ("--set", "train.checkpoint_every=1") if moment == "checkpoint" else ()
    options = (*house.small, "--steps", "200", *every)
    process = house.process("run", "sft", *options, "--max-tokens", "300")
    if moment == "checkpoint":
        wait_for(lambda: list(house.home.glob("runs/*/checkpoints/.partial-*/trainer")), process)
    else:
        for line in process.stdout:
            if "copying the policy" in line:
                break
    process.kill()
    process.wait()
    run = the_run(house)
    assert display_status(run) == "lost"
    assert house.run("resume", run.id, "--quiet").exit_code == 0
    assert the_run(house).status == "finished"
    points = registry_of(house).metrics(run.uuid)["loss"]
    assert [point.step for point in points] == list(range(1, 201))
    assert not list(house.home.glob("runs/*/checkpoints/.partial-*"))


@pytest.mark.slow
def test_two_runs_at_once_share_a_workspace(house: House) -> None:
    both = [house.process("run", "sft", *house.small, "--seed", str(seed)) for seed in (0, 1)]
    for process in both:
        finished(process, 0)
    runs = registry_of(house).runs()
    assert sorted((run.seed, run.status) for run in runs) == [(0, "finished"), (1, "finished")]
    for run in runs:
        assert len(registry_of(house).metrics(run.uuid)["loss"]) == 6


@pytest.mark.slow
def test_a_run_survives_the_loss_of_the_registry(house: House) -> None:
    process = house.process("run", "sft", *house.small, "--steps", "1500")
    wait_for(lambda: list(house.home.glob("runs/*/checkpoints/step-*")), process)
    for path in house.home.glob("registry.db*"):
        path.unlink()
    output, _ = process.communicate(timeout=300)
    assert "Traceback" not in output, output
    assert "is gone; restore it" in " ".join(output.split())
    journal = (house.home / "runs" / the_run_by_folder(house) / "journal.jsonl").read_text()
    assert journal.count('{"entry":"metrics"') == 1500
    assert journal.count('{"entry":"evaluation"') == 2


def shell(house: House, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = f"{sys.executable} -m a5ctl"
    variables = {**os.environ, "A5CTL_HOME": str(house.home), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line.replace("a5ctl", program)],
        env={**variables, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        encoding="utf-8",
        errors="replace",
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    "redirection", ["| head -1", "2>&1 | head -1", ">&-", ">&- 2>&- <&-", "| true"]
)
def test_a_run_does_not_need_anyone_to_read_it(house: House, redirection: str) -> None:
    options = " ".join(house.small)
    done = shell(house, f"a5ctl run sft {options} {redirection}")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr
    assert the_run(house).status == "finished"
    for command in ("ls", "ls --json", "compare"):
        assert "Traceback" not in shell(house, f"a5ctl {command} {redirection}").stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    "environment",
    [
        {"TERM": "dumb", "COLUMNS": "20"},
        {"COLUMNS": "1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
    ],
    ids=lambda e: " ".join(f"{k}={v}" for k, v in e.items()),
)
def test_poor_terminals_are_served(house: House, environment: dict[str, str]) -> None:
    done = shell(house, f"a5ctl run sft {' '.join(house.small)}", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    run = the_run(house)
    for command in ("ls", "compare", f"show {run.id}", f"diagnose {run.id}"):
        shown = shell(house, f"a5ctl {command}", **environment)
        assert shown.returncode == 0, shown.stderr
        assert "Traceback" not in shown.stderr
    listed = shell(house, "a5ctl ls --json", **environment)
    assert json.loads(listed.stdout)[0]["id"] == run.id


@pytest.mark.slow
def test_no_color_is_honoured(house: House) -> None:
    house.home.mkdir()
    colourless = shell(house, "a5ctl doctor", NO_COLOR="1", FORCE_COLOR="1")
    coloured = shell(house, "a5ctl doctor", FORCE_COLOR="1")
    assert "\x1b[3" not in colourless.stdout
    assert "\x1b[" in coloured.stdout
