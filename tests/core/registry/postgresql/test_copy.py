"""Moving a registry: nothing is lost on the way, and nothing half of it is ever left."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from sqlalchemy import Connection, Table

from core.errors import UserError
from core.registry.content import tables
from core.registry.copying import Copied, Phase, copy, copy_registry
from core.registry.copying.ends import Row, snapshot, stream, write
from core.registry.database import Database
from core.registry.recorder import Recorder
from core.registry.records import RunStatus
from core.registry.store import Registry, open_registry
from core.workspace import Workspace
from tests.core.registry.conftest import go_back, new_run
from tests.core.registry.postgresql.server import Server

Rows = dict[str, list[Row]]


@pytest.mark.slow
def test_a_copy_to_a_server_and_back_is_the_same_key_by_key(
    house: Workspace, url: str, tmp_path: Path
) -> None:
    back = f"sqlite:///{tmp_path / 'back.db'}"
    there, home = moved(house.registry_url(), url), moved(url, back)
    assert there.rows == home.rows
    assert there.rows["run"] == 3
    assert there.rows["metric"] > 0
    assert (there.different, there.alive) == ({}, ())
    assert rows_in(back) == rows_in(house.registry_url()) == rows_in(url)


def test_a_file_is_copied_to_a_file(house: Workspace, tmp_path: Path) -> None:
    moved(house.registry_url(), f"sqlite:///{tmp_path / 'other.db'}")
    assert rows_in(f"sqlite:///{tmp_path / 'other.db'}") == rows_in(house.registry_url())


def test_many_rows_go_in_batches_and_are_counted(
    house: Workspace, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.registry.copying.ends.ROWS_AT_ONCE", 7)
    told: list[tuple[Phase, int, int]] = []
    made = copy_registry(
        Database(house.registry_url()), Database(url), lambda *seen: told.append(seen)
    )
    total = sum(made.rows.values())
    assert max(done for phase, done, _ in told if phase is Phase.COPYING) == total
    assert told[-1] == (Phase.COMPARING, total, total)
    assert len(told) > 2 * total // 7
    assert rows_in(url) == rows_in(house.registry_url())


def test_a_run_that_is_made_after_a_copy_gets_keys_of_its_own(
    house: Workspace, url: str, tmp_path: Path
) -> None:
    moved(house.registry_url(), url)
    registry = open_registry(url)
    run = registry.create_run(new_run())
    with Recorder(registry, run.uuid, tmp_path / "run") as recorder:
        recorder.metrics(1, {"another": 1.0})
        recorder.event("info", "x", "y")
    assert registry.count_runs() == 4
    assert registry.run_by_uuid(run.uuid).key > 3
    registry.close()


@pytest.mark.parametrize("server_too", [False, True])
def test_a_target_that_holds_a_run_is_refused_and_left_alone(
    house: Workspace, url: str, tmp_path: Path, server_too: bool
) -> None:
    target = url if server_too else f"sqlite:///{tmp_path / 'full.db'}"
    registry = open_registry(target)
    registry.create_run(new_run(id="mine"))
    with pytest.raises(UserError, match=r"holds 1 run already, and a copy needs an empty one"):
        moved(house.registry_url(), target)
    assert [run.id for run in registry.runs()] == ["mine"]
    registry.close()


def test_a_registry_is_not_copied_into_itself(house: Workspace, url: str) -> None:
    for place in (house.registry_url(), url):
        with pytest.raises(UserError, match="cannot be copied into itself"):
            moved(place, place)


def test_a_source_that_is_not_there_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no registry .*none\.db; name what to copy"):
        moved(f"sqlite:///{tmp_path / 'none.db'}", url)


@pytest.mark.slow
def test_an_older_source_is_brought_up_to_date_as_everywhere(
    server: Server, tmp_path: Path
) -> None:
    old = f"sqlite:///{tmp_path / 'old.db'}"
    registry = open_registry(old)
    registry.create_run(new_run(id="sft-a"))
    go_back(registry, "0004")
    target = server.url(server.new_database())
    assert moved(old, target).rows["run"] == 1
    assert [run.id for run in open_registry(target).runs()] == ["sft-a"]


@pytest.mark.parametrize("to_server", [False, True])
def test_a_row_that_came_back_otherwise_undoes_the_copy(
    house: Workspace, url: str, tmp_path: Path, to_server: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = url if to_server else f"sqlite:///{tmp_path / 'b.db'}"

    def spoil(database: Database, to: Connection, table: Table, rows: list[Row]) -> None:
        if table.name == "metric":
            rows = rows[:-1]  # the last one is lost
        if table.name == "event":
            rows = [(*row[:-2], f"{row[-2]} ", row[-1]) for row in rows]
        write(database, to, table, rows)

    monkeypatch.setattr(copy, "write", spoil)
    assert moved(house.registry_url(), target).different == {"metric": 1, "event": 2}
    assert not any(rows_in(target).values())


@pytest.mark.slow
def test_what_the_server_does_not_take_is_one_sentence(url: str, tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path / 'r.db'}"
    registry = open_registry(source)
    run = registry.create_run(new_run())
    with registry.database.begin() as connection:
        connection.exec_driver_sql(f"UPDATE run SET size = 1 << 40 WHERE key = {run.key}")
    registry.close()
    with pytest.raises(UserError, match=r"does not take a row of the copy .*out of range"):
        moved(source, url)
    assert not any(rows_in(url).values())


def test_a_stop_in_the_middle_leaves_nothing(house: Workspace, url: str) -> None:
    def stop(phase: Phase, done: int, total: int) -> None:
        if phase is Phase.COMPARING:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_registry(Database(house.registry_url()), Database(url), stop)
    assert not any(rows_in(url).values())


def test_a_server_that_goes_away_in_the_middle_is_one_sentence(
    house: Workspace, server: Server, url: str
) -> None:
    def lose(phase: Phase, done: int, total: int) -> None:
        if phase is Phase.COPYING and done > total // 2:
            server.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'a5ctl'"
            )

    with pytest.raises(UserError, match=r"cannot be reached \("):
        copy_registry(Database(house.registry_url()), Database(url), lose)
    assert not any(rows_in(url).values())


@pytest.mark.slow
@pytest.mark.parametrize("to_server", [False, True])
def test_a_copy_that_is_killed_leaves_an_empty_registry(
    house: Workspace, url: str, tmp_path: Path, to_server: bool
) -> None:
    target = url if to_server else f"sqlite:///{tmp_path / 'b.db'}"
    process = multiprocessing.get_context("forkserver").Process(
        target=_killed, args=(house.registry_url(), target)
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert not any(rows_in(target).values())
    assert moved(house.registry_url(), target).rows["run"] == 3


@pytest.mark.slow
def test_a_copy_is_of_one_moment_and_names_the_runs_that_go_on(url: str, tmp_path: Path) -> None:
    source = open_registry(f"sqlite:///{tmp_path / 'r.db'}")
    run = source.create_run(new_run(id="sft-a"))
    source.set_status(run.uuid, RunStatus.RUNNING)

    def meanwhile(phase: Phase, done: int, total: int) -> None:
        if source.count_runs() == 1:
            source.create_run(new_run(id="later"))

    made = copy_registry(Database(source.database.url), Database(url), meanwhile)
    assert (made.rows["run"], made.alive, made.different) == (1, ("sft-a",), {})
    assert source.count_runs() == 2
    source.close()


def test_a_server_too_is_copied_as_of_one_moment(registry: Registry, tmp_path: Path) -> None:
    registry.create_run(new_run(id="sft-a"))

    def meanwhile(phase: Phase, done: int, total: int) -> None:
        if registry.count_runs() == 1:
            registry.create_run(new_run(id="later"))

    target = f"sqlite:///{tmp_path / 'b.db'}"
    made = copy_registry(Database(registry.database.url), Database(target), meanwhile)
    assert (made.rows["run"], made.different) == (1, {})
    assert registry.count_runs() == 2


def moved(source: str, target: str) -> Copied:
    ends = Database(source), Database(target)
    try:
        return copy_registry(*ends)
    finally:
        for end in ends:
            end.close()


def rows_in(url: str) -> Rows:
    database = Database(url)
    try:
        with snapshot(database) as connection:
            return {
                table.name: [row for batch in stream(connection, table) for row in batch]
                for table in tables()
            }
    finally:
        database.close()


def _killed(source: str, target: str) -> None:
    def kill(phase: Phase, done: int, total: int) -> None:
        if phase is Phase.COMPARING:
            os.kill(os.getpid(), signal.SIGKILL)

    copy_registry(Database(source), Database(target), kill)
