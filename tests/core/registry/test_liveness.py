"""Is it alive? Asked of real processes, of other machines, and of clocks that are wrong."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import UserError
from core.registry import processes
from core.registry.database import RegistryUnavailableError
from core.registry.live_runs import RECORDER_LOCK, held, is_recorded, may_be_alive
from core.registry.liveness import display_status
from core.registry.recorder import Recorder
from core.registry.removal import remove_run
from core.registry.store import Registry, RunRecord, RunStatus
from core.workspace import Workspace
from tests.core.registry.conftest import new_run
from tests.core.registry.lived_in import killed_run, proven_dead

ROOT = Path(__file__).parents[3]
WAIT_S = 120.0
_RECORD = """
import sys, time
from pathlib import Path
from core.registry.recorder import Recorder
from core.registry.store import open_registry
url, uuid, folder = sys.argv[1:]
with Recorder(open_registry(url), uuid, Path(folder), interval=0.01, heartbeat=0.02) as recorder:
    recorder.metrics(1, {"loss": 1.0})
    recorder.flush()
    print("recording", flush=True)
    time.sleep(600)
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="no such signals on Windows")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")


@pytest.fixture
def run(registry: Registry) -> RunRecord:
    return registry.create_run(new_run(id="sft-256-test"))


@pytest.fixture
def folder(workspace: Workspace, run: RunRecord) -> Path:
    return workspace.run_folder(run.id)


@pytest.fixture
def process(registry: Registry, run: RunRecord, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that records the run."""
    arguments = [registry.database.url, run.uuid, str(folder)]
    started = subprocess.Popen(
        [sys.executable, "-c", _RECORD, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "recording\n"
    yield started
    started.kill()
    started.wait()


@pytest.mark.slow
@posix
def test_a_stopped_process_is_stale_and_nobody_takes_its_run_until_it_goes_on_or_dies(
    registry: Registry,
    workspace: Workspace,
    run: RunRecord,
    folder: Path,
    process: subprocess.Popen[str],
) -> None:
    def shown() -> str:
        registry.merge_left_behind(workspace)
        return display_status(registry.run_by_uuid(run.uuid))

    assert shown() == "running"
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    _grow_old(registry, run, folder)
    assert shown() == "stale"
    silent = registry.run_by_uuid(run.uuid)
    assert may_be_alive(silent, folder)
    with pytest.raises(UserError, match="is stale; stop it, or settle it with a5ctl close"):
        remove_run(registry, workspace, silent)
    with pytest.raises(UserError, match="being recorded"), Recorder(registry, run.uuid, folder):
        pytest.fail("two processes record one run")

    registry.set_status(run.uuid, RunStatus.INTERRUPTED, exit_reason="closed by hand")
    assert may_be_alive(registry.run_by_uuid(run.uuid), folder), "its lock says so"
    with pytest.raises(UserError, match="being recorded by a process"):
        remove_run(registry, workspace, run)
    assert folder.is_dir()

    process.send_signal(signal.SIGCONT)
    _wait_until(lambda: shown() == "running")

    process.kill()
    process.wait()
    assert shown() == "lost", "proven, without waiting"
    assert not may_be_alive(registry.run_by_uuid(run.uuid), folder)
    assert [point.value for point in registry.metrics(run.uuid)["loss"]] == [1.0]
    remove_run(registry, workspace, run)
    assert registry.runs() == []


@linux
def test_a_process_that_got_the_number_of_another_one_proves_nothing(
    registry: Registry, run: RunRecord
) -> None:
    boot, namespace, start = (processes.process_mark() or "").split("/")
    mine = replace(run, status=RunStatus.RUNNING, heartbeat=time.time())
    assert display_status(mine) == "running"
    assert display_status(replace(mine, process_start=f"{boot}/{namespace}/{start}0")) == "lost"


@linux
def test_a_container_with_process_numbers_of_its_own_is_never_lost(
    registry: Registry, run: RunRecord
) -> None:
    boot, _, start = (processes.process_mark() or "").split("/")
    there = replace(run, status=RunStatus.RUNNING, pid=1, process_start=f"{boot}/1/{start}")
    now = time.time()
    assert display_status(replace(there, heartbeat=now), now) == "running"
    assert display_status(replace(there, heartbeat=now - 61), now) == "stale"


@linux
def test_a_machine_of_the_same_name_is_lost_only_once_it_is_silent(
    registry: Registry, run: RunRecord
) -> None:
    _, namespace, start = (processes.process_mark() or "").split("/")
    other_boot = f"11111111-2222-3333-4444-555555555555/{namespace}/{start}"
    there = replace(run, status=RunStatus.RUNNING, process_start=other_boot)
    now = time.time()
    assert display_status(replace(there, heartbeat=now), now) == "running"
    assert display_status(replace(there, heartbeat=now - 61), now) == "lost"


@pytest.mark.parametrize(
    ("ahead", "shown"),
    [(-61, "stale"), (-59, "running"), (0, "running"), (59, "running"), (3601, "stale")],
)
def test_a_clock_that_is_wrong_hides_silence_for_an_hour_at_most(
    run: RunRecord, ahead: float, shown: str
) -> None:
    now = time.time()
    far = replace(run, status=RunStatus.RUNNING, host="far", heartbeat=now + ahead)
    assert display_status(far, now) == shown


def test_a_run_that_cannot_store_its_heartbeat_gives_it_in_its_folder(
    registry: Registry, workspace: Workspace, run: RunRecord, folder: Path
) -> None:
    with Recorder(registry, run.uuid, folder, interval=0.01, heartbeat=0.02) as recorder:
        writer = recorder._writer
        writer._pause, writer._next_attempt = 30.0, time.monotonic() + 3600  # after many failures
        recorder.flush(0)
        lock = folder / RECORDER_LOCK
        _grow_old(registry, run, folder)
        assert display_status(registry.run_by_uuid(run.uuid)) == "stale"
        _wait_until(lambda: lock.stat().st_mtime > time.time() - 30)
        recorder.metrics(1, {"loss": 1.0})
        _wait_until(lambda: b'"loss":1.0' in (folder / "journal.jsonl").read_bytes())
        assert registry.merge_left_behind(workspace) == [], "it is alive, and stores it itself"
        assert display_status(registry.run_by_uuid(run.uuid)) == "running"
    assert registry.run_by_uuid(run.uuid).status is RunStatus.FINISHED


def test_a_lock_is_waited_for_once_however_many_runs_were_left_behind(
    registry: Registry, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        left = killed_run(registry, workspace, f"sft-{number}")
        proven_dead(registry, left)
        with registry.database.begin() as connection:
            connection.exec_driver_sql("UPDATE run SET journal_bytes = 0")
    waited = []

    def locked(*_: object) -> None:
        waited.append(1)
        raise RegistryUnavailableError("registry is locked by another program")

    with monkeypatch.context() as patch:
        patch.setattr("core.registry.store.merge_journal", locked)
        assert registry.merge_left_behind(workspace) == []
    assert len(waited) == 1
    assert len(registry.merge_left_behind(workspace)) == 3


def test_who_holds_a_folder_is_known_by_its_lock_alone(run: RunRecord, folder: Path) -> None:
    assert not is_recorded(folder), "there is none"
    folder.mkdir(parents=True)
    with held(run.id, folder):
        assert is_recorded(folder)
    assert not is_recorded(folder)


def _grow_old(registry: Registry, run: RunRecord, folder: Path) -> None:
    """Ten minutes pass without a sign of life."""
    then = time.time() - 600
    with registry.database.begin() as connection:
        connection.exec_driver_sql(f"UPDATE run SET heartbeat = {then} WHERE key = {run.key}")
    os.utime(folder / RECORDER_LOCK, (then, then))


def _wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
