"""A registry that is deleted, replaced or set back under a live run: the run joins it again."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import UserError
from core.registry.journal import JOURNAL_NAME, merge_journal
from core.registry.recorder import Recorder
from core.registry.records import RunStatus
from core.registry.same_file import logs_beside
from core.registry.store import Registry, open_registry
from tests.core.registry.conftest import answer, evaluation_result, new_run

WAIT_S = 120.0


@pytest.fixture
def run(registry: Registry) -> str:
    return registry.create_run(new_run(id="sft-256-test", name="kept")).uuid


def test_a_registry_deleted_under_a_live_run_is_made_anew_when_the_run_ends(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder, interval=0.01) as recorder:
        recorder.metrics(1, {"loss": 1.0})
        recorder.evaluation(evaluation_result([answer(42), answer(1)], step=1))
        assert recorder.flush(WAIT_S)
        _path(registry).unlink()
        recorder.metrics(2, {"loss": 2.0})
        assert recorder.flush(timeout=0.5) is False
        assert "is gone; restore it" in (recorder.problem or "")
        assert b'"loss":2.0' in (folder / JOURNAL_NAME).read_bytes()
        assert not _path(registry).exists(), "whoever restores it finds the place free"
    found = registry.run_by_uuid(run)
    assert (found.id, found.name, found.status) == ("sft-256-test", "kept", RunStatus.FINISHED)
    assert _losses(registry, run) == {1: 1.0, 2: 2.0}
    assert len(registry.responses(registry.evaluations([run])[0].uuid)) == 2
    _check(registry)


def test_a_run_that_is_far_behind_leaves_the_place_of_the_file_free(
    registry: Registry, run: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.registry.writer._MEMORY_BYTES", 0)
    monkeypatch.setattr("core.registry.writer._FIRST_PAUSE_S", 0.01)
    with Recorder(registry, run, folder, interval=0.01) as recorder:
        _path(registry).unlink()
        for step in range(1, 4):
            recorder.metrics(step, {"loss": float(step)})
            assert recorder.flush(timeout=0.1) is False
        assert not _path(registry).exists()
    assert _losses(registry, run) == {1: 1.0, 2: 2.0, 3: 3.0}


def test_a_run_joins_a_registry_that_somebody_made_in_place_of_the_deleted_one(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder, interval=0.01, heartbeat=0.02) as recorder:
        recorder.metrics(1, {"loss": 1.0})
        assert recorder.flush(WAIT_S)
        _path(registry).unlink()
        another = open_registry(registry.database.url)
        neighbour = another.create_run(new_run(id="sft-neighbour"))
        _wait_until(lambda: len(another.runs()) == 2)
        recorder.metrics(2, {"loss": 2.0})
        _wait_until(lambda: recorder.flush(WAIT_S))
    assert _losses(another, run) == {1: 1.0, 2: 2.0}
    assert another.run_by_uuid(run).status is RunStatus.FINISHED
    assert another.run_by_uuid(neighbour.uuid).id == "sft-neighbour"
    _check(another)


def test_what_an_older_copy_lacks_is_made_up_for_from_the_journal(
    registry: Registry, run: str, folder: Path, tmp_path: Path
) -> None:
    with Recorder(registry, run, folder, interval=0.01) as recorder:
        recorder.metrics(1, {"loss": 1.0})
        assert recorder.flush(WAIT_S)
        copy = _copy(registry, tmp_path / "copy.db")
        for step in (2, 3):
            recorder.metrics(step, {"loss": float(step)})
        recorder.evaluation(evaluation_result([answer(42)], step=3))
        assert recorder.flush(WAIT_S)
        _put_in_place(copy, registry)
        recorder.metrics(4, {"loss": 4.0})
        _wait_until(lambda: recorder.flush(WAIT_S))
    assert _losses(registry, run) == {step: float(step) for step in range(1, 5)}
    assert [e.step for e in registry.evaluations([run])] == [3]
    assert registry.metric_summaries([run])[run]["loss"].last_step == 4
    _check(registry)


def test_a_file_that_was_set_back_in_place_is_noticed_too(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder, interval=0.01) as recorder:
        recorder.flush(WAIT_S)
        held = registry.run_by_uuid(run).journal_bytes
        recorder.metrics(1, {"loss": 1.0})
        assert recorder.flush(WAIT_S)
        with registry.database.begin() as connection:
            connection.exec_driver_sql("DELETE FROM metric")
            connection.exec_driver_sql("DELETE FROM metric_summary")
            connection.exec_driver_sql(f"UPDATE run SET journal_bytes = {held}")
        recorder.metrics(2, {"loss": 2.0})
        assert recorder.flush(WAIT_S)
    assert _losses(registry, run) == {1: 1.0, 2: 2.0}


@pytest.mark.slow
def test_an_empty_file_in_its_place_gets_the_tables_and_the_run(
    registry: Registry, run: str, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    with Recorder(registry, run, folder, interval=0.01) as recorder:
        recorder.metrics(1, {"loss": 1.0})
        assert recorder.flush(WAIT_S)
        _put_in_place(tmp_path / "empty", registry)
        recorder.metrics(2, {"loss": 2.0})
    merge_journal(registry, folder)
    assert _losses(open_registry(registry.database.url), run) == {1: 1.0, 2: 2.0}


def test_queries_follow_the_file_that_has_the_name(registry: Registry, tmp_path: Path) -> None:
    registry.create_run(new_run(id="sft-old"))
    assert [r.id for r in registry.runs()] == ["sft-old"]
    other = open_registry(f"sqlite:///{tmp_path / 'other.db'}")
    other.create_run(new_run(id="sft-new"))
    other.close()
    _put_in_place(tmp_path / "other.db", registry)
    assert [r.id for r in registry.runs()] == ["sft-new"]


@pytest.mark.slow
def test_a_copy_put_beside_the_log_of_the_old_file_is_neither_read_nor_spoiled(
    registry: Registry, run: str, folder: Path, tmp_path: Path
) -> None:
    with Recorder(registry, run, folder, interval=0.01) as recorder:
        recorder.metrics(1, {"loss": 1.0})
        assert recorder.flush(WAIT_S)
        copy = _copy(registry, tmp_path / "copy.db")
        content = copy.read_bytes()
        recorder.metrics(2, {"loss": 2.0})
        assert recorder.flush(WAIT_S)
        copy.replace(_path(registry))
        recorder.metrics(3, {"loss": 3.0})
        assert recorder.flush(timeout=0.5) is False
        assert "log of the old file still lies beside it" in (recorder.problem or "")
        with pytest.raises(UserError, match=r"delete .*-wal and "):
            registry.runs()
        assert _path(registry).read_bytes() == content
        for log in logs_beside(_path(registry)):
            log.unlink(missing_ok=True)
        _wait_until(lambda: recorder.flush(WAIT_S))
    assert _losses(registry, run) == {1: 1.0, 2: 2.0, 3: 3.0}
    _check(registry)


def test_a_new_registry_does_not_inherit_the_log_of_a_deleted_one(
    registry: Registry, run: str
) -> None:
    held = sqlite3.connect(_path(registry))
    assert held.execute("SELECT COUNT(*) FROM run").fetchone() == (1,)
    wal = Path(f"{_path(registry)}-wal")
    assert wal.exists()
    _path(registry).unlink()
    fresh = open_registry(registry.database.url)
    fresh.create_run(new_run(id="sft-fresh"))
    assert [r.id for r in fresh.runs()] == ["sft-fresh"]
    held.close()
    _check(fresh)
    assert [r.id for r in open_registry(registry.database.url).runs()] == ["sft-fresh"]


def test_a_clock_set_back_loses_and_doubles_nothing(
    registry: Registry, run: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 2_000_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    with Recorder(registry, run, folder, interval=0.01, heartbeat=0.02) as recorder:
        recorder.metrics(1, {"loss": 1.0})
        recorder.evaluation(evaluation_result([answer(1)], step=1))
        assert recorder.flush(WAIT_S)
        now -= 7200.0
        recorder.metrics(2, {"loss": 2.0})
        recorder.evaluation(evaluation_result([answer(42)], step=1))
        _wait_until(lambda: (registry.run_by_uuid(run).heartbeat or 0) == now)
    assert _losses(registry, run) == {1: 1.0, 2: 2.0}
    assert registry.run_by_uuid(run).status is RunStatus.FINISHED
    newest = [e.accuracy for e in registry.evaluations([run])]
    assert newest == [1.0], "what was recorded last counts, whatever the clock said"
    assert registry.headlines([run])[run].accuracy == 1.0
    other = open_registry(f"sqlite:///{folder / 'other.db'}")
    merge_journal(other, folder)
    assert merge_journal(other, folder).merged == 0
    assert _losses(other, run) == {1: 1.0, 2: 2.0}
    assert [e.accuracy for e in other.evaluations([run])] == [1.0]


def _path(registry: Registry) -> Path:
    path = registry.database.path
    assert path is not None
    return path


def _copy(registry: Registry, target: Path) -> Path:
    with sqlite3.connect(_path(registry)) as source, sqlite3.connect(target) as copy:
        source.backup(copy)
    source.close()
    copy.close()
    assert not Path(f"{target}-wal").exists()
    return target


def _put_in_place(other: Path, registry: Registry) -> None:
    """As a careful person does it: the old logs go with the old file."""
    for old in (_path(registry), *logs_beside(_path(registry))):
        old.unlink(missing_ok=True)
    other.replace(_path(registry))


def _losses(registry: Registry, run: str) -> dict[int, float]:
    return {point.step: point.value for point in registry.metrics(run)["loss"]}


def _check(registry: Registry) -> None:
    registry.close()
    connection = sqlite3.connect(_path(registry))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def _wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
