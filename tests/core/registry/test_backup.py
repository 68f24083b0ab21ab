"""A copy of a registry in use: whole, as of one moment, and never half."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from core.errors import UserError
from core.registry.backup import Backup, back_up
from core.registry.check import check_registry
from core.registry.recorder import Recorder
from core.registry.store import Registry, open_registry
from core.workspace import Workspace
from tests.core.registry.conftest import answer, evaluation_result, new_run


def copied(registry: Registry, target: Path, *, force: bool = False) -> Backup:
    path = registry.database.path
    assert path is not None
    return back_up(registry.database, path, target, force=force)


def test_a_copy_made_while_a_run_records_is_of_one_moment(
    registry: Registry, workspace: Workspace, tmp_path: Path
) -> None:
    run = registry.create_run(new_run())
    stop = threading.Event()

    def record() -> None:
        with Recorder(registry, run.uuid, workspace.run_folder(run.id), interval=0.001) as recorder:
            for step in range(1, 100_000):
                recorder.metrics(step, {"loss": float(step), "twice": 2.0 * step})
                if step % 50 == 0:
                    recorder.evaluation(evaluation_result([answer(42), answer(1)], step=step))
                    recorder.flush()
                if stop.is_set():
                    return

    recording = threading.Thread(target=record)
    recording.start()
    try:
        copies = [copied(registry, tmp_path / f"copy-{number}.db") for number in range(3)]
    finally:
        stop.set()
        recording.join()
    for made in copies:
        copy = open_registry(f"sqlite:///{made.path}")
        assert check_registry(copy.database, made.path, workspace).findings == ()
        metrics = copy.metrics(run.uuid)
        assert [p.step for p in metrics.get("loss", [])] == [
            p.step for p in metrics.get("twice", [])
        ]
        assert all(len(copy.responses(e.uuid)) == 2 for e in copy.evaluations([run.uuid]))


def test_a_copy_can_take_the_place_of_the_registry(registry: Registry, tmp_path: Path) -> None:
    registry.create_run(new_run(id="sft-kept"))
    made = copied(registry, tmp_path / "copy.db")
    assert (made.runs, made.bytes) == (1, (tmp_path / "copy.db").stat().st_size)
    assert sorted(path.name for path in tmp_path.glob("*copy*")) == ["copy.db"], "one file is all"
    again = open_registry(f"sqlite:///{made.path}")
    assert [run.id for run in again.runs()] == ["sft-kept"]
    assert again.database.read("PRAGMA journal_mode") == [("wal",)]


def test_an_older_copy_is_replaced_only_when_asked(registry: Registry, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("mine")
    with pytest.raises(UserError, match=r"exists already.*--force"):
        copied(registry, target)
    assert target.read_text() == "mine"
    assert copied(registry, target, force=True).runs == 0


def test_places_that_are_none_are_refused(registry: Registry, tmp_path: Path) -> None:
    path = registry.database.path
    assert path is not None
    with pytest.raises(UserError, match="the registry itself"):
        copied(registry, path, force=True)
    with pytest.raises(UserError, match="no place for a file"):
        copied(registry, tmp_path)
    with pytest.raises(UserError, match="no place for a file"):
        copied(registry, tmp_path / "nowhere" / "copy.db")
    used = open_registry(f"sqlite:///{tmp_path / 'used.db'}")
    used.create_run(new_run())
    with pytest.raises(UserError, match="registry in use"):
        copied(registry, tmp_path / "used.db", force=True)


def test_a_damaged_registry_and_another_programs_file_are_not_copied(
    registry: Registry, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "mine.db")) as connection:
        connection.execute("CREATE TABLE mine (x)")
    with pytest.raises(UserError, match="is no registry"):
        back_up(registry.database, tmp_path / "mine.db", tmp_path / "copy.db")
    registry.close()
    path = registry.database.path
    assert path is not None
    with path.open("rb+") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 4)
    with pytest.raises(UserError, match="is damaged"):
        copied(registry, tmp_path / "copy.db")
    assert sorted(path.name for path in tmp_path.glob("*copy*")) == []
