"""Deleting a run: in slices that let others write, seen as such, and never half for good."""

from pathlib import Path

import pytest

from core.registry import slices
from core.registry.check import check_registry
from core.registry.database import Database
from core.registry.journal import merge_journal
from core.registry.removal import plan_removal, remove_run
from core.registry.store import Registry
from core.workspace import Workspace
from tests.core.registry.lived_in import finished_run, proven_dead, rollout_run

OWNED = ("run", "metric", "metric_summary", "segment", "evaluation", "response", "rollout_batch")


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "_ROWS", 4)
    monkeypatch.setattr(slices, "_HOLD_S", 0.0)


def counts(registry: Registry) -> dict[str, int]:
    return {t: registry.database.read(f"SELECT COUNT(*) FROM {t}")[0][0] for t in OWNED}


@pytest.mark.usefixtures("small_slices")
def test_every_row_goes_and_no_other_runs(
    registry: Registry, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = finished_run(registry, workspace, "sft-kept")
    before = counts(registry)
    transactions = 0
    begin = Database.begin

    def counted(database: Database) -> object:
        nonlocal transactions
        transactions += 1
        return begin(database)

    for going in (finished_run, rollout_run):
        run = going(registry, workspace, "sft-going")
        plan = plan_removal(registry, workspace, run)
        assert plan.deletion.rows["metric"] > 0
        with monkeypatch.context() as patch:
            patch.setattr(Database, "begin", counted)
            remove_run(registry, workspace, run)
        assert counts(registry) == before
        assert registry.run_by_uuid(kept.uuid) == kept
    assert transactions > 12, "others had their turn in between"
    assert registry.database.read("PRAGMA foreign_key_check") == []


@pytest.mark.usefixtures("small_slices")
def test_a_deletion_that_was_cut_short_is_brought_back_by_the_journal_or_done_again(
    registry: Registry, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished_run(registry, workspace, "sft-going")
    before, curves = counts(registry), registry.metrics(run.uuid)

    class CutError(Exception):
        pass

    def cut(seconds: float) -> None:
        raise CutError

    with monkeypatch.context() as patch:
        patch.setattr(slices.time, "sleep", cut)
        with pytest.raises(CutError):
            remove_run(registry, workspace, run)
    assert counts(registry) != before
    assert "cut short" in (registry.run_by_uuid(run.uuid).exit_reason or "")
    folder = workspace.run_folder(run.id)
    assert folder.is_dir(), "put back"
    merge_journal(registry, folder)
    assert counts(registry) == before
    assert repr(registry.metrics(run.uuid)) == repr(curves)
    remove_run(registry, workspace, registry.run_by_uuid(run.uuid))
    assert set(counts(registry).values()) == {0}


def test_a_check_does_not_miss_the_folder_of_a_run_that_is_being_deleted(
    registry: Registry, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished_run(registry, workspace, "sft-going")
    path = registry.database.path
    assert isinstance(path, Path)
    looked = []

    def look(*_: object) -> None:
        looked.append(check_registry(registry.database, path, workspace).findings)

    monkeypatch.setattr("core.registry.run_writes.delete_in_slices", look)
    remove_run(registry, workspace, run)
    assert looked == [()]


def test_a_merge_that_was_overtaken_does_not_bring_an_older_state_back(
    registry: Registry, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished_run(registry, workspace, "sft-done")
    proven_dead(registry, run)
    folder = workspace.run_folder(run.id)
    whole = (folder / "journal.jsonl").read_bytes()
    begun = whole.index(b"\n", whole.index(b'"status":"running"')) + 1
    with registry.database.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET journal_bytes = 0, status = 'queued'")
    merge_while_another_one_does(registry, folder, whole, begun, monkeypatch)
    found = registry.run_by_uuid(run.uuid)
    assert (found.status, found.journal_bytes) == ("finished", len(whole))


def merge_while_another_one_does(
    registry: Registry, folder: Path, whole: bytes, begun: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read the journal as it was at the beginning, and write when all of it is stored already."""
    from core.registry import merge

    parse_lines, journal = merge.parse_lines, folder / "journal.jsonl"
    journal.write_bytes(whole[:begun])

    def late(lines: list[bytes]) -> object:
        found = parse_lines(lines)
        if journal.stat().st_size == begun and b'"status"' in b"".join(lines):
            journal.write_bytes(whole)
            merge_journal(registry, folder)
        return found

    monkeypatch.setattr(merge, "parse_lines", late)
    merge_journal(registry, folder)
