"""The launcher over processes that are a few lines long: signals, losses, and nothing left over."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from trainers.distributed import launcher
from trainers.distributed.launcher import Ending, environments, run_processes

PRELUDE = """
import json, os, signal, sys, time
rank, reports = int(os.environ["RANK"]), int(sys.argv[1])
job = sys.stdin.buffer.read(3)
folder = os.environ["FOLDER"]
open(os.path.join(folder, f"{rank}.pid"), "w").write(str(os.getpid()))

def report(**values):
    os.write(reports, json.dumps(values).encode())

def ready():
    open(os.path.join(folder, "ready"), "w").close()

def wait_for(name):
    while not os.path.exists(os.path.join(folder, name)):
        time.sleep(0.01)

"""
FOREVER = "while True: time.sleep(0.01)"


def run(tmp_path: Path, main: str, other: str, monkeypatch: pytest.MonkeyPatch) -> Ending:
    monkeypatch.setenv("FOLDER", str(tmp_path))
    body = f"exec({main!r} if rank == 0 else {other!r})"
    command = (sys.executable, "-S", "-c", PRELUDE + body)
    return run_processes(command, b"job", environments(2, 1, ()), tmp_path)


def gone(tmp_path: Path) -> bool:
    pids = [int(file.read_text()) for file in tmp_path.glob("*.pid")]
    assert len(pids) == 2
    return not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_the_main_process_reports_is_the_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = run(tmp_path, "report(status='finished')", "pass", monkeypatch)
    assert ending == Ending({"status": "finished"}, "", None)
    assert gone(tmp_path)
    assert list(tmp_path.glob("*.log")) == []


def test_every_process_knows_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = "'RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'LOCAL_WORLD_SIZE', 'OMP_NUM_THREADS'"
    say = f"print(*[os.environ[name] for name in ({names})], job)"
    ending = run(tmp_path, "wait_for('1.pid'); report(status='finished')", say, monkeypatch)
    assert ending.report == {"status": "finished"}
    assert (tmp_path / "process-2.log").read_text() == "1 1 2 2 1 b'job'\n"


def test_each_process_sees_one_gpu() -> None:
    found = environments(2, 4, ("6", "GPU-8f2c"))
    assert [e["CUDA_VISIBLE_DEVICES"] for e in found] == ["6", "GPU-8f2c"]
    assert {e["OMP_NUM_THREADS"] for e in found} == {"4"}


def test_a_killed_process_is_news_to_the_main_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = "report(status='failed', heard=sys.stdin.readline().strip())"
    ending = run(tmp_path, main, "os.kill(os.getpid(), signal.SIGKILL)", monkeypatch)
    assert "process 2 of 2 was killed by SIGKILL" in ending.problem
    assert ending.report["heard"] == ending.problem
    assert gone(tmp_path)


def test_a_failing_process_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = "report(error='OutOfMemoryError: 3 GiB'); sys.exit(1)"
    ending = run(tmp_path, "sys.stdin.readline()", fails, monkeypatch)
    assert ending.problem == "process 2 of 2 ended: OutOfMemoryError: 3 GiB"


@pytest.mark.slow
def test_a_main_process_that_hangs_is_asked_and_then_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "_ASK_AFTER_S", 0.1)
    monkeypatch.setattr(launcher, "_KILL_AFTER_S", 0.5)
    asked = "open(os.path.join(folder, 'asked'), 'w').close()"
    main = f"signal.signal(signal.SIGTERM, lambda *_: {asked})\nready()\n{FOREVER}"
    ending = run(tmp_path, main, "wait_for('ready'); sys.exit(3)", monkeypatch)
    assert ending == Ending({}, "process 2 of 2 ended with code 3", None)
    assert (tmp_path / "asked").exists()
    assert gone(tmp_path)


def test_a_main_process_that_dies_takes_the_others_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "_LEAVE_WITHIN_S", 0.1)
    main = "wait_for('1.pid'); os.kill(os.getpid(), signal.SIGKILL)"
    ending = run(tmp_path, main, FOREVER, monkeypatch)
    assert ending.report == {}
    assert "process 1 of 2 was killed by SIGKILL" in ending.problem
    assert gone(tmp_path)


def test_the_end_of_the_main_process_is_no_loss_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks = """
wait_for("ready")
try:
    while True: os.kill(int(open(os.path.join(folder, "0.pid")).read()), 0)
except ProcessLookupError:
    sys.exit(1)
"""
    ending = run(tmp_path, "report(status='interrupted'); ready()", breaks, monkeypatch)
    assert ending == Ending({"status": "interrupted"}, "", None)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_goes_to_the_main_process_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signum: signal.Signals
) -> None:
    def stop() -> None:
        while not ((tmp_path / "ready").exists() and (tmp_path / "1.pid").exists()):
            time.sleep(0.01)
        os.kill(os.getpid(), signum)

    main = """
def stopped(number, frame):
    report(status="interrupted", number=number)
    sys.exit(0)
signal.signal(signal.SIGINT, stopped)
signal.signal(signal.SIGTERM, stopped)
ready()
while True: time.sleep(0.01)
"""
    monkeypatch.setattr(launcher, "_LEAVE_WITHIN_S", 0.1)
    threading.Thread(target=stop, daemon=True).start()
    ending = run(tmp_path, main, "wait_for('never')", monkeypatch)
    assert ending == Ending({"status": "interrupted", "number": signum}, "", signum)


def test_the_handlers_before_are_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    run(tmp_path, "report(status='finished')", "pass", monkeypatch)
    assert signal.getsignal(signal.SIGINT) is before
