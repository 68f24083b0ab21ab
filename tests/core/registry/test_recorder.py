"""What a recorder is told, the registry knows; no failure reaches the training thread."""

import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from core.registry import processes
from core.registry.entries import MetricsEntry
from core.registry.journal import JOURNAL_NAME, Journal, merge_journal
from core.registry.liveness import display_status
from core.registry.recorder import Recorder
from core.registry.store import Registry, RunStatus, open_registry
from core.workspace import Workspace
from tests.core.registry.conftest import new_run

WAIT_S = 120.0
"""How long what happens at once may take on the busiest machine."""


def test_leaving_the_context_settles_the_run(registry: Registry, folder: Path) -> None:
    finished, failed, stopped = (registry.create_run(new_run()) for _ in range(3))
    with Recorder(registry, finished.uuid, folder / "a"):
        assert registry.run_by_uuid(finished.uuid).status is RunStatus.RUNNING
    with pytest.raises(OSError, match="boom"), Recorder(registry, failed.uuid, folder / "b"):
        raise OSError("boom")
    with pytest.raises(KeyboardInterrupt), Recorder(registry, stopped.uuid, folder / "c"):
        raise KeyboardInterrupt
    statuses = [registry.run_by_uuid(r.uuid).status.value for r in (finished, failed, stopped)]
    assert statuses == ["finished", "failed", "interrupted"]
    assert "OSError: boom" in (registry.traceback(failed.uuid) or "")
    assert registry.run_by_uuid(failed.uuid).exit_reason == "boom"


def test_finish_keeps_its_reason(registry: Registry, run: str, folder: Path) -> None:
    with Recorder(registry, run, folder) as recorder:
        recorder.finish("failed", "loss is nan", traceback="trace")
        with pytest.raises(ValueError, match="cannot end as running"):
            recorder.finish("running")
    stored = registry.run_by_uuid(run)
    assert (stored.status, stored.exit_reason) == (RunStatus.FAILED, "loss is nan")


def test_one_run_has_one_recorder(registry: Registry, run: str, folder: Path) -> None:
    with (
        Recorder(registry, run, folder),
        pytest.raises(UserError, match="being recorded by another process"),
        Recorder(registry, run, folder),
    ):
        pytest.fail("two recorders on one run")


def test_a_returning_heartbeat_makes_a_closed_run_running_again(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder, interval=0.01, heartbeat=0.02):
        registry.set_status(run, "interrupted", exit_reason="closed by hand")
        _wait_until(lambda: registry.run_by_uuid(run).status is RunStatus.RUNNING)
    assert registry.run_by_uuid(run).status is RunStatus.FINISHED


def test_a_silent_run_is_stale_and_a_dead_one_lost(registry: Registry, run: str) -> None:
    queued = registry.run_by_uuid(run)
    assert display_status(queued, now=queued.created + 30) == "queued"
    assert display_status(queued, now=queued.created + 61) == "stale"
    with registry.database.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET process_start = 'another', status = 'running'")
    dead = registry.run_by_uuid(run)
    expected = "stale" if processes._other_namespace("another") else "lost"
    assert display_status(dead, now=dead.created) == expected


def test_a_run_on_another_machine_is_never_lost(registry: Registry, run: str) -> None:
    with registry.database.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET host = 'far', pid = 1, status = 'running'")
    far = registry.run_by_uuid(run)
    assert display_status(far, now=far.created + 10) == "running"
    assert display_status(far, now=far.created + 1e6) == "stale"


def test_the_training_thread_neither_builds_entries_nor_waits_for_the_disk(
    registry: Registry, run: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builders: list[str] = []
    writing, disk_ready = threading.Event(), threading.Event()
    append = Journal.append

    def build(**fields: Any) -> MetricsEntry:
        builders.append(threading.current_thread().name)
        return MetricsEntry(**fields)

    def append_when_ready(journal: Journal, lines: Sequence[bytes]) -> None:
        writing.set()
        disk_ready.wait()
        append(journal, lines)

    def train() -> None:
        recorder.metrics(1, {"loss": 1.0})
        writing.wait()
        for step in range(2, 101):
            recorder.metrics(step, {"loss": 1.0})

    with Recorder(registry, run, folder, interval=0.01) as recorder:
        monkeypatch.setattr("core.registry.recorder.MetricsEntry", build)
        monkeypatch.setattr(Journal, "append", append_when_ready)
        training = threading.Thread(target=train, name="training", daemon=True)
        training.start()
        training.join(WAIT_S)
        waits = training.is_alive()
        disk_ready.set()
    assert not waits, "training waited for the disk"
    assert "training" not in builders
    assert len(builders) == 100
    assert [p.step for p in registry.metrics(run)["loss"]] == list(range(1, 101))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_locked_database_costs_nothing_but_patience(
    workspace: Workspace, run: str, folder: Path
) -> None:
    registry = open_registry(workspace.registry_url(), busy_timeout=0.05)
    with Recorder(registry, run, folder, interval=0.01) as recorder:
        blocker = sqlite3.connect(str(registry.database.path), isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        recorder.metrics(1, {"loss": 1.0})
        _wait_until(lambda: recorder.problem is not None)
        assert "locked by another program" in (recorder.problem or "")
        recorder.metrics(2, {"loss": 2.0})
        # Waiting this long for a database known to be locked would run into the test's limit.
        assert recorder.flush(timeout=3600) is False, "the journal has it, the database not yet"
        assert b'"loss":2.0' in (folder / JOURNAL_NAME).read_bytes()
        blocker.execute("COMMIT")
        blocker.close()
        _wait_until(lambda: recorder.flush() and recorder.problem is None)
    assert [p.value for p in registry.metrics(run)["loss"]] == [1.0, 2.0]
    kinds = [event.kind for event in registry.events(run)]
    assert kinds == ["registry_unavailable", "registry_recovered"]


def test_what_a_run_could_not_store_before_it_ended_is_merged_by_the_next_command(
    workspace: Workspace, run: str, folder: Path
) -> None:
    registry = open_registry(workspace.registry_url(), busy_timeout=0.05)
    with Recorder(registry, run, folder, interval=0.01) as recorder:
        blocker = sqlite3.connect(str(registry.database.path), isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        recorder.metrics(1, {"loss": 1.0})
        recorder.finish("finished", "completed")
    assert registry.run_by_uuid(run).status is RunStatus.RUNNING
    blocker.execute("COMMIT")
    blocker.close()
    with registry.database.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET pid = 0")
    assert registry.merge_left_behind(workspace) == ["sft-256-test"]
    assert registry.run_by_uuid(run).status is RunStatus.FINISHED
    assert len(registry.metrics(run)["loss"]) == 1


def test_a_journal_that_cannot_be_written_is_made_up_for_later(
    registry: Registry, run: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recorder(registry, run, folder, interval=0.01) as recorder:
        full = OSError(28, "No space left on device")

        def refuse(*_: object) -> None:
            raise full

        with monkeypatch.context() as patch:
            patch.setattr("core.registry.journal.Journal.append", refuse)
            recorder.metrics(1, {"loss": 1.0})
            assert recorder.flush(WAIT_S) is True, "the database still takes it"
            assert "No space left" in (recorder.problem or "")
        recorder.metrics(2, {"loss": 2.0})
        recorder.flush()
        assert recorder.problem is None
    journal = (folder / JOURNAL_NAME).read_text()
    assert '"loss":1.0' in journal
    assert '"loss":2.0' in journal
    kinds = [event.kind for event in registry.events(run)]
    assert kinds == ["journal_failed", "journal_recovered"]


def test_an_entry_the_tables_refuse_does_not_hold_up_the_others(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder) as recorder:
        recorder.metrics(1, {"loss": 1.0})
        recorder.metrics(2**70, {"loss": 2.0})
        recorder.metrics(3, {"loss": 3.0})
        assert recorder.flush(WAIT_S)
        assert "refused" in (recorder.problem or "")
    assert [p.step for p in registry.metrics(run)["loss"]] == [1, 3]
    assert "entry_refused" in [event.kind for event in registry.events(run)]


def test_nothing_the_writer_does_can_raise_in_training(
    registry: Registry, run: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recorder(registry, run, folder, interval=0.01) as recorder:
        with monkeypatch.context() as patch:
            patch.setattr("core.registry.writer.store_entries", lambda *a, **k: 1 / 0)
            recorder.metrics(1, {"loss": 1.0})
            _wait_until(lambda: "ZeroDivisionError" in (recorder.problem or ""))
        recorder.metrics(2, {"loss": 2.0})
        assert recorder.flush(WAIT_S)
    assert [p.step for p in registry.metrics(run)["loss"]] == [1, 2]


def test_a_deleted_run_does_not_stop_its_process(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder, interval=0.01) as recorder:
        with registry.database.begin() as connection:
            connection.exec_driver_sql("DELETE FROM run")
        recorder.metrics(1, {"loss": 1.0})
        assert recorder.flush() is False
        assert "no longer holds run" in (recorder.problem or "")
    assert merge_journal(registry, folder).run_id == "sft-256-test"
    assert len(registry.metrics(run)["loss"]) == 1


def _wait_until(condition: object, seconds: float = WAIT_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
