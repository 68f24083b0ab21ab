"""Signals: held back until the step is done, immediate outside of steps and on the second one."""

# ruff: noqa: PT012 - a signal stops a block anywhere, so the blocks hold what must not happen

import importlib
import logging
import os
import signal
import sqlite3
import sys
import threading
import time
from pathlib import Path

import pytest

from core.registry.store import open_registry
from core.workspace import open_workspace
from tests.core.registry.conftest import new_run
from trainers.interrupt import Interrupted, Interrupts


def test_a_signal_inside_a_step_waits_for_its_end() -> None:
    interrupts, done = Interrupts(), []
    with interrupts.installed(), pytest.raises(Interrupted) as caught:
        with interrupts.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("step")
        assert interrupts.requested
        interrupts.raise_now()
    assert done == ["step"]
    assert caught.value.exit_code == 130


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs terminals that hang up")
def test_a_hang_up_stops_as_others_do_unless_it_is_not_to_be_heard() -> None:
    interrupts = Interrupts()
    with interrupts.installed(), pytest.raises(Interrupted) as caught:
        os.kill(os.getpid(), signal.SIGHUP)
    assert caught.value.exit_code == 129
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup starts a program
    try:
        with Interrupts().installed():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_does_not_wait() -> None:
    interrupts, done = Interrupts(), []
    with interrupts.installed(), pytest.raises(Interrupted), interrupts.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("never")
    assert done == []


def test_outside_of_steps_a_signal_stops_at_once() -> None:
    with Interrupts().installed(), pytest.raises(Interrupted) as caught:
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.exit_code == 143


def test_the_handlers_before_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts().installed():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


class Dropping:
    """Python prints and drops what its end raises."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):  # the handler runs in here
            pass


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_stop_that_python_drops_comes_again(capfd: pytest.CaptureFixture[str]) -> None:
    with Interrupts().installed(), pytest.raises(Interrupted) as caught:
        Dropping()
        time.sleep(10)
    assert caught.value.exit_code == 130
    assert "ignored" not in capfd.readouterr().err


IMPORTED = """
import os, signal, time
for _ in range({presses}):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
done = True
"""


@pytest.mark.parametrize(("presses", "arrives"), [(1, True), (2, True), (3, False)])
def test_a_stop_waits_for_the_end_of_an_import_unless_pressed_three_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, presses: int, arrives: bool
) -> None:
    name = f"stops_{presses}_times"
    (tmp_path / f"{name}.py").write_text(IMPORTED.format(presses=presses))
    monkeypatch.syspath_prepend(tmp_path)
    with Interrupts().installed(), pytest.raises(Interrupted):
        importlib.import_module(name)
        time.sleep(10)
    assert hasattr(sys.modules.pop(name, None), "done") is arrives


def test_a_stop_that_waited_counts_once() -> None:
    interrupts, done = Interrupts(), []
    with interrupts.installed(), pytest.raises(Interrupted):
        with interrupts.deferred():
            Dropping()
            time.sleep(0.2)
            done.append("step")
        interrupts.raise_now()
    assert done == ["step"]


def test_a_stop_waits_for_the_end_of_a_log_entry() -> None:
    written = []

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            written.append(record.msg)

    logger = logging.Logger("slow")
    logger.addHandler(Slow())
    with Interrupts().installed(), pytest.raises(Interrupted):
        logger.error("whole")
        time.sleep(10)
    assert written == ["whole"]


@pytest.mark.slow
def test_a_stop_waits_for_the_end_of_a_write_to_the_registry(
    tmp_path: Path,
) -> None:
    registry = open_registry(open_workspace(tmp_path / "house").registry_url())
    uuid = registry.create_run(new_run()).uuid
    path = registry.database.path
    assert path is not None
    holder = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    stop = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    free = threading.Timer(0.5, holder.execute, ("COMMIT",))
    with Interrupts().installed(), pytest.raises(Interrupted):
        stop.start()
        free.start()
        registry.set_status(uuid, "interrupted", exit_reason="SIGINT")
        time.sleep(10)
    free.join()
    assert registry.run_by_uuid(uuid).status == "interrupted"
    registry.set_status(uuid, "running")
