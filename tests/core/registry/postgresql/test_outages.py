"""A server that goes away under a run: the run goes on, and nothing is lost."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.registry.journal import JOURNAL_NAME, journal_size, merge_journal
from core.registry.recorder import Recorder
from core.registry.store import Registry
from tests.core.registry.conftest import answer, evaluation_result, new_run
from tests.core.registry.postgresql.server import PASSWORD, Server

WAIT_S = 60.0


@pytest.mark.slow
def test_a_run_outlives_its_server_and_is_stored_when_it_is_back(
    server: Server, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.registry.writer._LONGEST_PAUSE_S", 0.2)
    monkeypatch.setattr("core.registry.writer._FIRST_PAUSE_S", 0.1)
    run = registry.create_run(new_run(id="sft-a"))
    with Recorder(registry, run.uuid, tmp_path, interval=0.02) as recorder:
        recorder.metrics(1, {"loss": 1.0})
        assert recorder.flush(WAIT_S)
        server.stop("immediate")
        try:
            recorder.metrics(2, {"loss": 0.5})
            recorder.evaluation(evaluation_result([answer(42), "a\0b"], step=2))
            _until(lambda: recorder.problem is not None)
            assert "cannot be reached" in str(recorder.problem)
            recorder.flush(0)
            assert not recorder.unsaved
            assert b'"step":2' in (tmp_path / JOURNAL_NAME).read_bytes()
        finally:
            server.start()
        _until(lambda: recorder.problem is None)
        recorder.metrics(3, {"loss": 0.25})
    assert [p.step for p in registry.metrics(run.uuid)["loss"]] == [1, 2, 3]
    assert registry.evaluations([run.uuid])[0].n == 2
    assert registry.run_by_uuid(run.uuid).status == "finished"
    kinds = [event.kind for event in registry.events(run.uuid)]
    assert kinds == ["registry_unavailable", "registry_recovered"]
    assert registry.run_by_uuid(run.uuid).journal_bytes == journal_size(tmp_path)
    assert PASSWORD.encode() not in (tmp_path / JOURNAL_NAME).read_bytes()


def test_connections_that_the_server_closed_are_replaced_unnoticed(
    server: Server, registry: Registry, tmp_path: Path
) -> None:
    run = registry.create_run(new_run())
    with Recorder(registry, run.uuid, tmp_path, interval=60) as recorder:
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'a5ctl'")
        recorder.metrics(1, {"loss": 1.0})
        assert recorder.flush(WAIT_S)
        assert recorder.problem is None


def test_a_row_that_somebody_locks_costs_nothing_but_patience(
    server: Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    from core.registry.store import open_registry

    monkeypatch.setattr("core.registry.writer._FIRST_PAUSE_S", 0.05)
    registry = open_registry(url, busy_timeout=0.05)
    run = registry.create_run(new_run())
    with Recorder(registry, run.uuid, tmp_path, interval=0.01) as recorder:
        with psycopg.connect(url) as other:
            other.execute("SELECT * FROM run FOR UPDATE")
            recorder.metrics(1, {"loss": 1.0})
            _until(lambda: recorder.problem is not None)
            assert "locked by another program" in str(recorder.problem)
        _until(lambda: recorder.problem is None)
    assert [p.step for p in registry.metrics(run.uuid)["loss"]] == [1]
    registry.close()


def test_a_run_that_was_killed_is_merged_from_its_journal(
    registry: Registry, tmp_path: Path
) -> None:
    run = registry.create_run(new_run(id="sft-a"))
    recorder = Recorder(registry, run.uuid, tmp_path / "sft-a", heartbeat=3600.0)
    recorder.__enter__()
    recorder.metrics(1, {"loss": 0.25})
    recorder.flush(WAIT_S)
    recorder._writer.stop(WAIT_S)
    recorder._lock.__exit__(None, None, None)
    with registry.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM run")
    assert merge_journal(registry, tmp_path / "sft-a").run_id == "sft-a"
    assert [p.step for p in registry.metrics(run.uuid)["loss"]] == [1]


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
