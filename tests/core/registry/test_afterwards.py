"""What is added to a run later goes into its journal and into the registry, or into neither."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from core.errors import UserError
from core.registry import afterwards
from core.registry.afterwards import check_addable
from core.registry.database import RegistryUnavailableError
from core.registry.entries import EventEntry
from core.registry.journal import JOURNAL_NAME, Journal, merge_journal
from core.registry.recorder import Recorder
from core.registry.records import RunRecord
from core.registry.regrades import store_regrade, stored_evaluations
from core.registry.run_folders import journal_folder
from core.registry.store import Registry, open_registry
from core.workspace import Workspace
from tests.core.registry.conftest import new_run
from tests.core.registry.lived_in import RUN, proven_dead, regraded


@pytest.fixture
def house(one_run: Path, workspace: Workspace) -> Registry:
    shutil.copytree(one_run, workspace.root, dirs_exist_ok=True)
    return open_registry(workspace.registry_url())


def regrade(registry: Registry, workspace: Workspace, version: int = 99) -> None:
    run = registry.find_run(RUN)
    evaluation = stored_evaluations(registry, run.uuid)[0]
    rows = regraded(registry, evaluation, version)
    store_regrade(registry, run, journal_folder(workspace, run), evaluation, rows)


def new_grades(registry: Registry) -> int:
    return int(registry.database.read("SELECT COUNT(*) FROM grade WHERE version > 90")[0][0])


def told(registry: Registry) -> list[str]:
    return [e.kind for e in registry.events(registry.find_run(RUN).uuid) if e.kind == "regraded"]


def journal(workspace: Workspace) -> Path:
    return workspace.run_folder(RUN) / JOURNAL_NAME


def test_the_registry_holds_all_of_a_journal_that_was_added_to(
    house: Registry, workspace: Workspace
) -> None:
    with journal(workspace).open("ab") as file:
        file.write(b'{"entry":"metr')
    regrade(house, workspace)
    assert (new_grades(house), told(house)) == (2, ["regraded"])
    assert house.find_run(RUN).journal_bytes == journal(workspace).stat().st_size
    kinds = [line[:16] for line in journal(workspace).read_bytes().splitlines()[-2:]]
    assert kinds == [b'{"entry":"regrad', b'{"entry":"event"']
    regrade(house, workspace)
    assert told(house) == ["regraded"], "the same again is nothing new"


def test_a_journal_that_cannot_be_written_leaves_the_registry_as_it_was(
    house: Registry, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = journal(workspace).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", full)
        with pytest.raises(UserError, match=r"No space left on device.*nothing was changed"):
            regrade(house, workspace)
    assert (new_grades(house), journal(workspace).read_bytes()) == (0, before)
    regrade(house, workspace)
    assert new_grades(house) == 2


def test_what_the_journal_has_and_the_registry_could_not_take_is_merged_next_time(
    house: Registry, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        from sqlalchemy.exc import OperationalError

        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("database is locked"))

    with monkeypatch.context() as patch:
        patch.setattr(afterwards, "set_held_bytes", locked)
        with pytest.raises(RegistryUnavailableError, match="locked by another program"):
            regrade(house, workspace)
    assert (new_grades(house), told(house)) == (0, [])
    regrade(house, workspace)
    assert (new_grades(house), told(house)) == (2, ["regraded"])
    regrade(house, workspace, version=100)
    assert (new_grades(house), len(told(house))) == (4, 2)
    assert house.find_run(RUN).journal_bytes == journal(workspace).stat().st_size


def test_a_run_that_is_recorded_or_may_be_takes_nothing_from_others(
    registry: Registry, workspace: Workspace
) -> None:
    run = registry.create_run(new_run(id="sft-live"))
    folder = workspace.run_folder(run.id)
    with Recorder(registry, run.uuid, folder):
        with pytest.raises(UserError, match="may still be recording"):
            check_addable(registry, run, folder)
        with pytest.raises(UserError, match="may still be recording"):
            _add_event(registry, run, folder)
    check_addable(registry, run, folder)
    with registry.database.begin() as connection:
        silent = "UPDATE run SET status = 'running', host = 'elsewhere', heartbeat = 1"
        connection.exec_driver_sql(silent)
    with pytest.raises(UserError, match="a5ctl close sft-live"):
        check_addable(registry, run, folder)
    with registry.database.begin() as connection:
        connection.exec_driver_sql(f"UPDATE run SET host = '{run.host}'")
    proven_dead(registry, run)
    _add_event(registry, run, folder)
    assert [event.message for event in registry.events(run.uuid)] == ["y"]


def test_without_its_own_journal_a_run_is_changed_in_the_registry_alone(
    house: Registry, workspace: Workspace
) -> None:
    run = house.find_run(RUN)
    elsewhere = workspace.run_folder(RUN).rename(workspace.root / "elsewhere")
    assert journal_folder(workspace, run) is None
    regrade(house, workspace)
    assert new_grades(house) == 2
    other = house.create_run(new_run(id="sft-other"))
    elsewhere.rename(workspace.run_folder(other.id))
    assert journal_folder(workspace, other) is None, "a folder with the journal of another run"


def test_a_run_that_was_deleted_meanwhile_is_one_sentence(
    house: Registry, workspace: Workspace
) -> None:
    run = house.find_run(RUN)
    house.delete_run(run.uuid)
    with pytest.raises(UserError, match=r"no run with the uuid|was deleted meanwhile"):
        _add_event(house, run, workspace.run_folder(RUN))
    with pytest.raises(UserError, match="was deleted meanwhile"):
        _add_event(house, run, None)


def test_choices_made_while_a_run_goes_are_in_its_journal(
    registry: Registry, workspace: Workspace
) -> None:
    run = registry.create_run(new_run(id="sft-256-test"))
    with Recorder(registry, run.uuid, workspace.run_folder(run.id)) as recorder:
        recorder.choices({"train": {"threads": 2}}, "second")
    other = open_registry(f"sqlite:///{workspace.root / 'other.db'}")
    merge_journal(other, workspace.run_folder(run.id))
    for found in (registry.run_by_uuid(run.uuid), other.run_by_uuid(run.uuid)):
        assert (found.config, found.config_hash) == ({"train": {"threads": 2}}, "second")


def _add_event(registry: Registry, run: RunRecord, folder: Path | None) -> None:
    event = EventEntry(uuid="later", time=1.0, step=None, severity="info", kind="x", message="y")

    def work(connection: object, key: int) -> list[EventEntry]:
        from core.registry.apply import apply_entries

        apply_entries(connection, key, [event])  # type: ignore[arg-type]
        return [event]

    afterwards.change_with_journal(registry, run, folder, work)
