"""A registry made anew from the run folders says what the old one said, row by row."""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from core.config.load import build_config, to_toml
from core.errors import UserError
from core.registry.content import IDENTITY, rows_of, table_names
from core.registry.journal import JOURNAL_NAME, merge_journal
from core.registry.lock import FileLock
from core.registry.migrate import lock_path
from core.registry.plans import PLANS_NAME
from core.registry.rebuild import Rebuilt, rebuild
from core.registry.recorder import Recorder
from core.registry.same_file import logs_beside
from core.registry.store import Registry, RunStatus, open_registry
from core.workspace import Workspace, open_workspace
from tests.core.registry.conftest import go_back, new_run
from tests.core.registry.lived_in import (
    HOSTILE,
    added_later,
    finished_run,
    graded_file,
    killed_run,
    rollout_run,
)

Content = dict[str, list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = open_workspace(tmp_path_factory.mktemp("template"))
    registry = open_registry(f"sqlite:///{workspace.root / 'registry.db'}")
    parent = finished_run(registry, workspace, "sft-256-aaaa", name="first")
    finished_run(registry, workspace, "sft-256-bbbb", parent_uuid=parent.uuid, group="g")
    rollout_run(registry, workspace, "grpo-cccc")
    killed_run(registry, workspace, "sft-256-dddd")
    added_later(registry, workspace, parent)
    graded_file(registry, workspace)
    registry.note_plan("sizes", "hash", HOSTILE, workspace)
    registry.close()
    return workspace.root


@pytest.fixture
def lived_in(template: Path, workspace: Workspace) -> Registry:
    shutil.copytree(template, workspace.root, dirs_exist_ok=True)
    return open_registry(workspace.registry_url())


def test_every_table_has_an_identity() -> None:
    assert set(IDENTITY) == set(table_names())


@pytest.mark.slow
def test_a_deleted_registry_comes_back_identical_row_by_row(
    lived_in: Registry, workspace: Workspace
) -> None:
    before = content(lived_in)
    empty = {name for name, rows in before.items() if not rows}
    assert empty == {"text_dictionary"}, "something of everything else"
    lived_in.close()
    _path(lived_in).unlink()
    result = repaired(lived_in, workspace)
    assert (result.runs, result.damaged, result.skipped, result.kept) == (5, 0, {}, None)
    after = content(lived_in)
    for name in table_names():
        assert after[name] == before[name], name
    again = repaired(lived_in, workspace)
    assert again.replaced
    assert not again.loses
    assert content(lived_in) == before
    assert _integrity(lived_in) == [("ok",)]


def test_the_old_file_is_kept_with_what_its_log_held(
    lived_in: Registry, workspace: Workspace
) -> None:
    before, beside = content(lived_in), _hidden(workspace)
    reader = sqlite3.connect(_path(lived_in))  # an open connection keeps the log alive
    assert reader.execute("SELECT COUNT(*) FROM run").fetchone() == (5,)
    result = repaired(lived_in, workspace)
    reader.close()
    assert result.compared
    assert result.kept is not None
    assert content(open_registry(f"sqlite:///{result.kept}")) == before
    assert content(lived_in) == before
    assert _hidden(workspace) == beside, "nothing of the work is left"


def test_a_damaged_registry_is_replaced(lived_in: Registry, workspace: Workspace) -> None:
    before = content(lived_in)
    lived_in.close()
    for log in logs_beside(_path(lived_in)):
        log.unlink(missing_ok=True)
    _path(lived_in).write_bytes(b"SQLite format 3\x00" + b"nonsense" * 1000)
    result = repaired(lived_in, workspace)
    assert (result.replaced, result.compared, result.loses) == (True, False, False)
    assert content(lived_in) == before


@pytest.mark.slow
def test_a_sound_registry_that_holds_more_stays_unless_forced(
    lived_in: Registry, workspace: Workspace
) -> None:
    lived_in.create_run(new_run(id="sft-no-folder"))
    with lived_in.database.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET note = 'later' WHERE id = 'sft-256-aaaa'")
    before = content(lived_in)
    result = repaired(lived_in, workspace)
    assert (result.replaced, result.kept) == (False, None)
    assert (dict(result.lacking), result.labels) == ({"run": 1}, 1)
    assert content(lived_in) == before
    forced = rebuild(lived_in.database, _path(lived_in), workspace, force=True)
    assert forced.replaced
    assert forced.kept is not None
    assert len(lived_in.runs()) == 5
    assert len(open_registry(f"sqlite:///{forced.kept}").runs()) == 6


@pytest.mark.slow
def test_what_an_older_version_kept_in_the_database_alone_is_journaled(
    lived_in: Registry, workspace: Workspace
) -> None:
    before = content(lived_in)
    file = lived_in.find_run("file")
    shutil.rmtree(workspace.run_folder(file.id))
    (workspace.root / PLANS_NAME).unlink()
    journal = workspace.run_folder("sft-256-aaaa") / JOURNAL_NAME
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: _first_later(lines)]))
    with lived_in.database.begin() as connection:
        connection.exec_driver_sql(f"UPDATE run SET journal_bytes = 0 WHERE key = {file.key}")
    result = repaired(lived_in, workspace)
    assert result.replaced
    assert dict(result.journaled) == {"run": 1, "plan": 1, "regrade": 2, "probe": 1, "event": 5}
    after = content(lived_in)
    for name in set(table_names()) - {"protocol"}:
        assert after[name] == before[name], name
    lived_in.close()
    _path(lived_in).unlink()
    again = repaired(lived_in, workspace)
    assert dict(again.journaled) == {}
    assert content(lived_in) == after


def _first_later(lines: list[bytes]) -> int:
    return next(n for n, line in enumerate(lines) if line.startswith(b'{"entry":"regrade"'))


def test_a_journal_merged_again_from_its_beginning_changes_nothing(
    lived_in: Registry, workspace: Workspace
) -> None:
    before = content(lived_in)
    with lived_in.database.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET journal_bytes = 0")
    for folder in sorted(workspace.runs_dir.iterdir()):
        merge_journal(lived_in, folder)
    assert content(lived_in) == before


@pytest.mark.slow
@pytest.mark.parametrize("moves", [0, 1])
def test_a_repair_that_was_stopped_can_be_done_again(
    lived_in: Registry, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    before = content(lived_in)
    left = iter(range(moves))

    def stopped(path: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return move(path, target)

    with monkeypatch.context() as patch:
        move = Path.rename
        patch.setattr(Path, "rename", stopped)
        patch.setattr(Path, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            repaired(lived_in, workspace)
    assert _path(lived_in).exists() == (moves == 0)
    assert repaired(lived_in, workspace).replaced
    assert content(lived_in) == before
    copies = list(workspace.root.glob("registry.db.before-repair-*"))
    assert len(copies) == 1
    assert content(open_registry(f"sqlite:///{copies[0]}")) == before


def test_two_repairs_do_not_meet(
    lived_in: Registry, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.registry.rebuild._PATIENCE_S", 0.0)
    with (
        FileLock(lock_path(lived_in.database)),
        pytest.raises(UserError, match="repaired by another process"),
    ):
        repaired(lived_in, workspace)


def test_an_older_registry_has_to_be_brought_up_to_date_first(
    lived_in: Registry, workspace: Workspace
) -> None:
    go_back(lived_in, "0003")
    with pytest.raises(UserError, match="registry migrate"):
        repaired(lived_in, workspace)


@pytest.mark.slow
def test_a_live_run_joins_the_repaired_registry(registry: Registry, workspace: Workspace) -> None:
    run = registry.create_run(new_run(id="sft-live"))
    with Recorder(
        registry, run.uuid, workspace.run_folder(run.id), interval=0.01, heartbeat=0.02
    ) as recorder:
        recorder.metrics(1, {"loss": 1.0})
        assert recorder.flush(60)
        other = open_registry(registry.database.url)
        assert rebuild(other.database, _path(other), workspace, force=False).replaced
        recorder.metrics(2, {"loss": 2.0})
        _wait_until_stored(recorder)
    assert [p.value for p in other.metrics(run.uuid)["loss"]] == [1.0, 2.0]
    assert other.run_by_uuid(run.uuid).status is RunStatus.FINISHED
    assert _integrity(other) == [("ok",)]


@pytest.mark.slow
def test_a_copied_folder_is_held_once_and_a_strange_one_is_named(
    lived_in: Registry, workspace: Workspace
) -> None:
    before = content(lived_in)
    shutil.copytree(workspace.run_folder("sft-256-aaaa"), workspace.run_folder("a-copy"))
    strange = workspace.run_folder("strange")
    strange.mkdir()
    (strange / "config.toml").write_text("kind = 'cooking'\n")
    (workspace.runs_dir / "not-a-run").mkdir()
    hidden = workspace.runs_dir / ".deleted-sft-1"
    hidden.mkdir()
    (hidden / "config.toml").write_text("kind = 'sft'\n")
    result = repaired(lived_in, workspace)
    assert result.skipped.keys() == {"a-copy", "strange"}
    assert result.skipped["a-copy"] == "it holds the same run as sft-256-aaaa"
    assert "cooking" in result.skipped["strange"]
    assert content(lived_in) == before


@pytest.mark.slow
def test_a_run_that_never_began_comes_back_from_its_configuration(
    registry: Registry, workspace: Workspace
) -> None:
    parent = finished_run(registry, workspace, "sft-256-aaaa")
    folder = workspace.run_folder("sft-64-never")
    folder.mkdir()
    tree = {"kind": "sft", "seed": 7, "tags": ["x"], "model": {"run": "sft-256-aaaa"}}
    (folder / "config.toml").write_text(to_toml(build_config(tree)), encoding="utf-8")
    repaired(registry, workspace)
    found = registry.find_run("sft-64-never")
    assert (found.seed, found.tags, found.status) == (7, ("x",), RunStatus.INTERRUPTED)
    assert found.parent_uuid == parent.uuid
    assert "never began" in (found.exit_reason or "")
    repaired(registry, workspace)
    assert registry.find_run("sft-64-never").uuid == found.uuid, "the same run each time"


def test_a_torn_line_and_damaged_ones_cost_only_themselves(
    registry: Registry, workspace: Workspace
) -> None:
    run = finished_run(registry, workspace, "sft-256-aaaa")
    journal = workspace.run_folder(run.id) / JOURNAL_NAME
    with journal.open("ab") as file:
        file.write(b'{"entry":"nonsense"}\n{"entry":"metr')
    result = repaired(registry, workspace)
    assert (result.replaced, result.damaged) == (True, 1)
    assert [event.kind for event in registry.events(run.uuid)] == ["journal_damaged", "alarm"]


def _hidden(workspace: Workspace) -> set[str]:
    return {path.name for path in workspace.root.glob(".*")}


def repaired(registry: Registry, workspace: Workspace) -> Rebuilt:
    return rebuild(registry.database, _path(registry), workspace, force=False)


def content(registry: Registry) -> Content:
    with closing(sqlite3.connect(_path(registry))) as connection:
        return {name: list(rows_of(connection, name)) for name in table_names()}


def _path(registry: Registry) -> Path:
    path = registry.database.path
    assert path is not None
    return path


def _wait_until_stored(recorder: Recorder) -> None:
    """A sign of life that met the moment between two files has put off the next attempt."""
    deadline = time.monotonic() + 60
    while not recorder.flush(60):
        assert time.monotonic() < deadline, recorder.problem
        time.sleep(0.1)


def _integrity(registry: Registry) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(_path(registry))) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        return connection.execute("PRAGMA integrity_check").fetchall()
