"""Full disks, signals at any moment, readers that leave, two runs at once: nothing is lost."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.registry.liveness import display_status
from core.registry.store import Registry, open_registry
from tests.a5ctl.conftest import ROOT, WARM, WARM_VLLM, House
from tests.a5ctl.held import HELD, held, read_until
from tests.warm import Started

LONG = ("--steps", "2000", "--set", "train.checkpoint_every=50", "--eval-every", "1000")
ANNOUNCED = "from a5ctl.__main__ import main; print('up', flush=True); main()"


def registry_of(house: House) -> Registry:
    return open_registry(f"sqlite:///{house.home / 'registry.db'}")


def the_run(house: House):
    (run,) = registry_of(house).runs()
    return run


def the_run_by_folder(house: House) -> str:
    return next((house.home / "runs").iterdir()).name


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


def finished(process: Started, code: int) -> str:
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


@pytest.mark.slow
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
    process = house.process(
        *("run", "sft", *house.small, *LONG, "--quiet"), entry=("-c", ANNOUNCED), warm=None
    )
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
    "training": HELD,
}


def stop(process: Started, phase: str, go: Path) -> str:
    """Press Ctrl-C in this phase; returns what is said from then on."""
    before = read_until(process, phase)
    process.send_signal(signal.SIGINT)
    go.touch()
    after = process.stdout.read()
    assert process.wait(timeout=300) == 130, before + after
    assert "Traceback" not in after, after
    return " ".join(after.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "phases"),
    [
        ("hf", tuple(PHASES)),
        # before it starts, vLLM is not even imported
        pytest.param("vllm", ("engine", "evaluation", "training"), marks=pytest.mark.vllm),
    ],
)
def test_a_stop_in_any_phase_marks_the_run_and_it_goes_on(
    house: House, tmp_path: Path, engine: str, phases: Sequence[str]
) -> None:
    arguments = ("run", "sft", *house.small, "--engine", engine)
    warm = WARM_VLLM if engine == "vllm" else WARM
    for phase in phases:
        go = tmp_path / phase
        entry = held("trainers.sft", "SFT.update", go=go)
        process = house.process(*arguments, entry=entry, warm=warm)
        said = stop(process, PHASES[phase], go)
        run = the_run(house)
        assert (run.status, run.exit_reason) == ("interrupted", "SIGINT"), phase
        assert f"go on with: a5ctl resume {run.id}" in said, phase
        arguments = ("resume", run.id)
    if engine == "vllm":
        finished(house.process(*arguments, "--quiet", warm=warm), 0)
    else:
        assert house.run(*arguments, "--quiet").exit_code == 0
    assert the_run(house).status == "finished"
    points = registry_of(house).metrics(the_run(house).uuid)["loss"]
    assert [point.step for point in points] == list(range(1, 7))


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["checkpoint", "evaluation"])
def test_a_kill_while_something_is_written_loses_nothing(house: House, moment: str) -> None:
    options = (*house.small, "--set", "train.checkpoint_every=1", "--max-tokens", "300")
    entry = held("trainers.checkpoint", "_write_manifest", call=3)
    process = house.process("run", "sft", *options, entry=entry)
    read_until(process, HELD if moment == "checkpoint" else "copying the policy")
    process.kill()
    process.wait()
    left = list(house.home.glob("runs/*/checkpoints/.partial-*/trainer"))
    assert bool(left) == (moment == "checkpoint")
    run = the_run(house)
    assert display_status(run) == "lost"
    assert house.run("resume", run.id, "--quiet").exit_code == 0
    assert the_run(house).status == "finished"
    points = registry_of(house).metrics(run.uuid)["loss"]
    assert [point.step for point in points] == list(range(1, 7))
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
def test_a_run_survives_the_loss_of_the_registry(house: House, tmp_path: Path) -> None:
    go = tmp_path / "go"
    entry = held("trainers.sft", "SFT.update", call=3, go=go)
    process = house.process("run", "sft", *house.small, "--steps", "20", entry=entry)
    read_until(process, HELD)
    for path in house.home.glob("registry.db*"):
        path.unlink()
    go.touch()
    output, _ = process.communicate(timeout=300)
    assert "Traceback" not in output, output
    assert "is gone; restore it" in " ".join(output.split())
    journal = (house.home / "runs" / the_run_by_folder(house) / "journal.jsonl").read_text()
    assert journal.count('{"entry":"metrics"') == 20
    (run,) = registry_of(house).runs()
    assert len(registry_of(house).metrics(run.uuid)["loss"]) == 20, "in a registry made anew"
    assert run.status == "finished"
    assert journal.count('{"entry":"evaluation"') == 2


AND_NOW = "-- and now --"
# starting Python and importing take far longer than the commands; a terminal does not see that
ONE_BY_ONE = f"""
import json, os
from a5ctl.app import app
for arguments in json.loads(os.environ["COMMANDS"]):
    app(arguments, standalone_mode=False)
    print("{AND_NOW}", flush=True)
"""


def shell(
    house: House, line: str, commands: Sequence[Sequence[str]] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "A5CTL_HOME": str(house.home), "PYTHONPATH": str(ROOT)}
    variables |= {"OMP_NUM_THREADS": "1", "COMMANDS": json.dumps(commands)}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        env={**variables, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        encoding="utf-8",
        errors="replace",
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_run_does_not_need_open_streams(house: House) -> None:
    program, closed = f"{sys.executable} -m a5ctl", ">&- 2>&- <&-"
    options = " ".join((*house.small, "--steps", "2", "--eval-limit", "4"))
    done = shell(house, f"{program} run sft {options} {closed}")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert the_run(house).status == "finished"
    for command in ("ls", "ls --json", "compare"):
        assert "Traceback" not in shell(house, f"{program} {command} {closed}").stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs forks")
@pytest.mark.parametrize("lines", [1, 0], ids=["head", "true"])
def test_a_run_does_not_need_anyone_to_read_it(house: House, tmp_path: Path, lines: int) -> None:
    def piped(*arguments: str) -> tuple[int, str]:
        """As before `2>&1 | head -1` or `| true`; exit code, and what was complained of."""
        read, write = os.pipe()
        complaints = tmp_path / "complaints"
        with complaints.open("wb") as file:
            streams = {1: write, 2: write if lines else file.fileno()}
            entry = ("-m", "a5ctl")
            process = WARM.into(entry, arguments, house.environment(), streams)
        os.close(write)
        with os.fdopen(read, "rb") as reader:
            for _ in range(lines):
                assert reader.readline()
        return process.wait(timeout=300), complaints.read_text()

    code, said = piped("run", "sft", *house.small, "--steps", "2", "--eval-limit", "4")
    assert code == 0, said
    assert "Traceback" not in said
    assert "Broken pipe" not in said
    assert the_run(house).status == "finished"
    for command in (("ls",), ("ls", "--json"), ("compare",)):
        assert "Traceback" not in piped(*command)[1]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    "environment",
    [
        {"COLUMNS": "1", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"TERM": "dumb", "COLUMNS": "20", "PYTHONIOENCODING": "ascii"},
    ],
    ids=lambda e: " ".join(f"{k}={v}" for k, v in e.items()),
)
def test_poor_terminals_are_served(house: House, environment: dict[str, str]) -> None:
    few = ("--steps", "2", "--eval-limit", "4")
    commands = (
        ("run", "sft", *house.small, *few, "--name", "poor"),
        *(("ls",), ("compare",), ("show", "poor"), ("diagnose", "poor"), ("ls", "--json")),
    )
    done = shell(house, f"{sys.executable} -c {shlex.quote(ONE_BY_ONE)}", commands, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    shown = done.stdout.split(AND_NOW)
    assert len(shown) == len(commands) + 1
    assert all(part.strip() for part in shown[:-1])
    assert [run["id"] for run in json.loads(shown[-2])] == [the_run(house).id]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_width_that_no_terminal_has_is_forgotten(house: House) -> None:
    for width in ("999999999", "-1", "9" * 5000, "²"):
        done = shell(house, f"{sys.executable} -m a5ctl plan --help", COLUMNS=width, LINES=width)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert max(map(len, done.stdout.splitlines())) <= 80


def test_no_color_is_honoured(house: House) -> None:
    from a5ctl.app import app

    house.home.mkdir()
    asked = {"A5CTL_HOME": str(house.home), "FORCE_COLOR": "1"}
    colourless = CliRunner(env={**asked, "NO_COLOR": "1"}).invoke(app, ["doctor"])
    coloured = CliRunner(env=asked).invoke(app, ["doctor"])
    assert "\x1b[3" not in colourless.stdout
    assert "\x1b[" in coloured.stdout
