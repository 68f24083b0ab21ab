"""One run by several processes: the same curve as by one, and the same stops, losses, resumes."""

import math
import os
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from core.registry.liveness import display_status
from core.registry.store import Registry, open_registry
from tests.a5ctl.conftest import ROOT, WARM, House, small_house
from trainers.checkpoint import checkpoint_step, newest_whole

STEPS = 12
# batches of five make uneven shares: three and two examples a process
EXACT = ("--device", "cpu", "--set", "train.precision=float32")
LONGER = ("--steps", str(STEPS), "--size", "20", "--batch-size", "5", *EXACT)
TWO = ("--gpus", "2")
# what each process runs first: act once at one step, in one process
_ACT = """
import os, signal, time
from trainers.sft import SFT
inner, rank = SFT.update, int(os.environ.get("RANK", -1))
launcher = int(os.environ.get("STARTED_BY", os.getppid()))

def update(self, step):
    found = inner(self, step)
    if (rank, step) == ({rank}, {step}):
        open({mark!r}, "a").write(f"{{launcher}} {{os.getpid()}}\\n")
        {act}
        time.sleep(1.0)
    return found

SFT.update = update
"""
KILL_MYSELF = "os.kill(os.getpid(), signal.SIGKILL)"


def registry_of(house: House) -> Registry:
    return open_registry(f"sqlite:///{house.home / 'registry.db'}")


def curve(house: House, name: str) -> list[tuple[int, float, float]]:
    metrics = registry_of(house).metrics(registry_of(house).find_run(name).uuid)
    pairs = zip(metrics["loss"], metrics["grad_norm"], strict=True)
    return [(loss.step, loss.value, norm.value) for loss, norm in pairs]


def assert_same_curve(house: House, expected: list[tuple[int, float, float]], name: str) -> None:
    found = curve(house, name)
    assert [step for step, _, _ in found] == list(range(1, STEPS + 1))
    for (_, loss, norm), (_, other_loss, other_norm) in zip(expected, found, strict=True):
        assert other_loss == pytest.approx(loss, rel=1e-5)
        assert other_norm == pytest.approx(norm, rel=1e-4)


def events(house: House, name: str, kind: str) -> list[str]:
    registry = registry_of(house)
    found = registry.events(registry.find_run(name).uuid)
    return [event.message for event in found if event.kind == kind]


def newest_step(house: House, name: str) -> int:
    folder = house.home / "runs" / registry_of(house).find_run(name).id / "checkpoints"
    path, _ = newest_whole(folder)
    assert path is not None
    return checkpoint_step(path)


@pytest.fixture(autouse=True)
def warm_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the launcher's processes begin where they have imported everything.

    Launchers that are processes themselves start theirs as ever.
    """
    if sys.platform == "linux":
        stand_in = types.SimpleNamespace(Popen=WARM.popen, PIPE=subprocess.PIPE)
        monkeypatch.setattr("trainers.distributed.launcher.subprocess", stand_in)


class Plan:
    """What one process of a run does at one step, put where every new Python finds it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.mark = folder / "mark"
        monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{ROOT}")
        monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def set(self, rank: int, step: int, act: str) -> None:
        mark = str(self.mark)
        code = _ACT.format(rank=rank, step=step, act=act.replace("MARK", repr(mark)), mark=mark)
        (self.folder / "sitecustomize.py").write_text(code)

    def clear(self) -> None:
        (self.folder / "sitecustomize.py").unlink()

    def processes(self) -> list[int]:
        """Launcher and process that acted, last time."""
        return [int(pid) for pid in self.mark.read_text().splitlines()[-1].split()]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    folder = tmp_path / "plan"
    folder.mkdir()
    return Plan(folder, monkeypatch)


@pytest.fixture(scope="module")
def alone(
    small_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[int, float, float]]:
    """The curve of one process."""
    house = small_house(small_folder, tmp_path_factory.mktemp("alone") / "home")
    house.sft(*LONGER, "--name", "alone")
    return curve(house, "alone")


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(house: House, alone: list) -> None:
    house.sft(*LONGER, *TWO, "--name", "two")
    assert_same_curve(house, alone, "two")
    assert events(house, "two", "processes") == ["processes that train together on cpu: 2"]
    run = registry_of(house).find_run("two")
    assert run.config["train"]["gpus"] == 2
    assert len(registry_of(house).evaluations([run.uuid])) == 2


@pytest.mark.slow
@pytest.mark.vllm
def test_vllm_evaluates_beside_two_processes(house: House) -> None:
    run_id = house.sft("--steps", "2", "--gpus", "2", *EXACT, "--engine", "vllm")
    run = registry_of(house).find_run(run_id)
    found = registry_of(house).evaluations([run.uuid])
    assert [(evaluation.step, evaluation.n) for evaluation in found] == [(0, 12), (2, 12)]


@pytest.mark.slow
def test_a_run_moves_between_numbers_of_processes_and_stops_cleanly(
    house: House, alone: list, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers.sft import SFT

    update = SFT.update

    def fails(self: SFT, step: int) -> dict[str, float]:
        if step == 4:
            raise OSError(28, "No space left on device")
        return update(self, step)

    monkeypatch.setattr(SFT, "update", fails)
    house.run("run", "sft", *house.small, *LONGER, "--quiet", "--name", "moved")
    monkeypatch.setattr(SFT, "update", update)
    registry = registry_of(house)

    plan.set(0, 6, "os.kill(launcher, signal.SIGINT)")
    result = house.run("resume", "moved", *TWO, "--quiet")
    run = registry.find_run("moved")
    assert result.exit_code == 130, result.output
    assert (run.status, run.exit_reason) == ("interrupted", "SIGINT")
    assert f"go on with: a5ctl resume {run.id}" in result.output
    assert newest_step(house, "moved") == 6

    plan.set(0, 9, "os.kill(os.getpid(), signal.SIGTERM)")
    result = house.run("resume", "moved", "--quiet")
    assert result.exit_code == 143, result.output
    assert registry.find_run("moved").exit_reason == "SIGTERM"
    assert newest_step(house, "moved") == 9

    plan.clear()
    result = house.run("resume", "moved", "--gpus", "1", "--quiet")
    assert result.exit_code == 0, result.output
    assert_same_curve(house, alone, "moved")
    told = [text.partition(": ")[2] for text in events(house, "moved", "processes")]
    assert told == ["2 (before: 1)", "2", "1 (before: 2)"]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_run_in_one_sentence(
    house: House, alone: list, plan: Plan, rank: int
) -> None:
    plan.set(rank, 7, KILL_MYSELF)
    result = house.run("run", "sft", *house.small, *LONGER, *TWO, "--quiet", "--name", "killed")
    run = registry_of(house).find_run("killed")
    assert result.exit_code == 1
    text = " ".join(result.output.split())
    assert f"process {rank + 1} of 2 was killed by SIGKILL" in text
    assert f"go on with: a5ctl resume {run.id}" in text
    assert "Traceback" not in text
    assert run.status == "failed"
    assert f"process {rank + 1} of 2 was killed" in run.exit_reason
    plan.clear()
    result = house.run("resume", "killed", "--gpus", "1", "--quiet")
    assert result.exit_code == 0, result.output
    assert_same_curve(house, alone, "killed")


@pytest.mark.slow
def test_several_processes_roll_back_as_one_does(
    house: House, small_folder: Path, tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers.sft import SFT

    rolling = (*LONGER, "--on-alarm", "rollback", "--name", "rolled")
    one, update, seen = small_house(small_folder, tmp_path / "one"), SFT.update, list[int]()

    def breaks_once(self: SFT, step: int) -> dict[str, float]:
        found = update(self, step)
        seen.append(step)
        if seen.count(7) == 1 and step == 7:
            found["loss"] = math.nan
        return found

    monkeypatch.setattr(SFT, "update", breaks_once)
    one.sft(*rolling)
    monkeypatch.setattr(SFT, "update", update)
    plan.set(0, 7, "if len(open(MARK).readlines()) == 1: found['loss'] = float('nan')")
    house.sft(*rolling, *TWO)
    (told,) = events(house, "rolled", "rollback")
    assert [told] == events(one, "rolled", "rollback")
    assert "rolled back from step 7 to" in told
    assert_same_curve(house, curve(one, "rolled"), "rolled")


@pytest.mark.slow
def test_out_of_memory_in_one_process_ends_the_run_in_one_sentence(
    house: House, plan: Plan
) -> None:
    full = "lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError('out of memory'))"
    plan.set(1, 3, f"import torch; type(self.policy).accumulate = {full}")
    result = house.run("run", "sft", *house.small, *LONGER, *TWO, "--quiet", "--name", "full")
    text = " ".join(result.output.split())
    assert result.exit_code == 1
    assert "process 2 of 2 ended: step 4 does not fit into memory with micro-batches of" in text
    assert "--set train.microbatch_tokens" in text
    assert "Traceback" not in text
    assert registry_of(house).find_run("full").status == "failed"


@pytest.mark.slow
def test_no_process_outlives_its_launcher(house: House, plan: Plan) -> None:
    plan.set(1, 7, "time.sleep(600)")
    options = (*house.small, *LONGER, *TWO, "--name", "orphan")
    path = os.environ["PYTHONPATH"]
    start = "from a5ctl.__main__ import main; main()"
    entry = ("-c", f"import os; os.environ['PYTHONPATH'] = {path!r}; {start}")
    process = house.process("run", "sft", *options, entry=entry)
    while not plan.mark.exists():
        assert process.poll() is None
        time.sleep(0.05)
    launcher, worker = plan.processes()
    assert launcher == process.pid
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)
    registry = registry_of(house)
    while display_status(registry.find_run("orphan")) == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert display_status(registry.find_run("orphan")) == "lost"


def alive(pid: int) -> bool:
    """Runs and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--gpus", "0"), "train.gpus: Input should be greater than or equal to 1 (got 0)"),
        (("--gpus", "6", "--device", "cpu"), "--gpus 6 is more than the 4 examples of an update"),
        (("--set", "train.gpus=two"), "train.gpus: Input should be a valid integer"),
        (("--placement", "apart", "--device", "cpu"), "this run is on the CPU; leave it out"),
        (("--placement", "near"), "evaluation.placement: Input should be 'auto', 'shared' or"),
        (("--gpu-memory-utilization", "1"), "gpu_memory_utilization: Input should be less than 1"),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    house: House, options: tuple[str, ...], sentence: str
) -> None:
    result = house.run("run", "sft", *house.small, *options)
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())
    assert not (house.home / "registry.db").exists() or not registry_of(house).runs()


def test_more_gpus_than_there_are_are_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = house.run("run", "sft", *house.small, "--gpus", "2")
    assert result.exit_code == 2
    text = " ".join(result.output.split())
    assert "torch sees no GPU" in text
    assert "--device cpu" in text
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    result = house.run("run", "sft", *house.small, "--gpus", "4")
    assert result.exit_code == 2
    assert "torch sees 1 on this machine; use --gpus 1 or fewer" in " ".join(result.output.split())
