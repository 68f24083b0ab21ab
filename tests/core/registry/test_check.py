"""What a check of the registry finds, and what it does not mind."""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from core.registry.artifact_files import MANIFEST, changed
from core.registry.check import CheckReport, check_registry, folder_of
from core.registry.entries import MetricsEntry, to_line
from core.registry.findings import FindingKind
from core.registry.journal import JOURNAL_NAME
from core.registry.recorder import Recorder
from core.registry.records import ArtifactRecord
from core.registry.same_file import logs_beside
from core.registry.store import Registry, open_registry
from core.workspace import Workspace
from tests.core.registry.conftest import go_back, new_run
from tests.core.registry.lived_in import RUN


@pytest.fixture
def sound(one_run: Path, workspace: Workspace) -> Registry:
    shutil.copytree(one_run, workspace.root, dirs_exist_ok=True)
    return open_registry(workspace.registry_url())


def checked(registry: Registry, workspace: Workspace, *, read: bool = True) -> CheckReport:
    path = registry.database.path
    assert path is not None
    return check_registry(registry.database, path, workspace, read=read)


def kinds(registry: Registry, workspace: Workspace) -> list[FindingKind]:
    return [finding.kind for finding in checked(registry, workspace).findings]


def test_a_sound_registry_has_no_findings(sound: Registry, workspace: Workspace) -> None:
    sound.create_run(new_run(id="eval-of-a-file", kind="eval"))
    sound.set_status(sound.find_run("eval-of-a-file").uuid, "finished")
    report = checked(sound, workspace)
    assert (report.findings, report.runs, report.artifacts) == ((), 2, 4)


def test_older_checkpoints_that_the_run_removed_are_not_missed(
    sound: Registry, workspace: Workspace
) -> None:
    shutil.rmtree(workspace.run_folder(RUN) / "checkpoints" / "step-000004")
    assert kinds(sound, workspace) == []


def test_the_folder_of_another_run_is_never_taken_for_a_runs_own(
    sound: Registry, workspace: Workspace
) -> None:
    other = sound.create_run(new_run(id="sft-256-bbbb"))
    other = replace(other, folder=str(workspace.run_folder(RUN)))
    assert folder_of(workspace, other) == workspace.run_folder("sft-256-bbbb")
    own = sound.find_run(RUN)
    kept = workspace.run_folder(RUN).rename(workspace.runs_dir / "sft-256-older")
    assert folder_of(workspace, replace(own, folder=str(kept))) == kept


def _lose_checkpoint(folder: Path) -> None:
    shutil.rmtree(folder / "checkpoints" / "step-000012")


def _lose_file(folder: Path) -> None:
    (folder / "pairs.jsonl").unlink()


def _change_byte(folder: Path) -> None:
    with (folder / "checkpoints" / "step-000004" / "model.safetensors").open("rb+") as file:
        file.write(b"?")


def _shorten(folder: Path) -> None:
    (folder / "pairs.jsonl").write_text("{")


def _go_on_in_the_journal(folder: Path) -> None:
    with (folder / JOURNAL_NAME).open("ab") as file:
        file.write(to_line(MetricsEntry(segment=1, step=99, time=1.0, values={"loss": 1.0})))


def _cut_the_journal(folder: Path) -> None:
    content = (folder / JOURNAL_NAME).read_bytes()
    (folder / JOURNAL_NAME).write_bytes(content[: len(content) // 2])


def _rename(folder: Path) -> None:
    folder.rename(folder.with_name("another"))


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (_lose_checkpoint, [FindingKind.ARTIFACT_MISSING]),
        (_lose_file, [FindingKind.ARTIFACT_MISSING]),
        (_change_byte, [FindingKind.ARTIFACT_CHANGED]),
        (_shorten, [FindingKind.ARTIFACT_CHANGED]),
        (_go_on_in_the_journal, [FindingKind.JOURNAL]),
        (_cut_the_journal, [FindingKind.JOURNAL]),
        (_rename, [FindingKind.NO_FOLDER, FindingKind.NO_ROW]),
    ],
)
def test_harm_in_a_run_folder_is_found_and_has_a_remedy(
    sound: Registry,
    workspace: Workspace,
    harm: Callable[[Path], None],
    expected: list[FindingKind],
) -> None:
    harm(workspace.run_folder(RUN))
    report = checked(sound, workspace)
    assert [finding.kind for finding in report.findings] == expected
    for finding in report.findings:
        assert RUN in finding.sentence or "another" in finding.sentence
        assert finding.sentence.count(";") == 1, "one sentence and its remedy"


def test_a_torn_last_line_is_nothing_that_the_registry_lacks(
    sound: Registry, workspace: Workspace
) -> None:
    with (workspace.run_folder(RUN) / JOURNAL_NAME).open("ab") as file:
        file.write(b'{"entry":"metr')
    assert kinds(sound, workspace) == []


def test_a_quick_check_sees_sizes_only(sound: Registry, workspace: Workspace) -> None:
    _change_byte(workspace.run_folder(RUN))
    assert checked(sound, workspace, read=False).findings == ()
    _shorten(workspace.run_folder(RUN))
    assert len(checked(sound, workspace, read=False).findings) == 1


def test_a_run_that_is_being_recorded_is_left_alone(
    registry: Registry, workspace: Workspace
) -> None:
    run = registry.create_run(new_run(id="sft-live"))
    folder = workspace.run_folder(run.id)
    with Recorder(registry, run.uuid, folder) as recorder:
        recorder.metrics(1, {"loss": 1.0})
        (folder / "file").write_text("x")
        recorder.artifact("file", folder / "file")
        recorder.flush(60)
        (folder / "file").unlink()
        report = checked(registry, workspace)
        assert (report.findings, report.alive) == ((), 1)
    assert kinds(registry, workspace) == [FindingKind.ARTIFACT_MISSING]


def test_rows_whose_owner_is_gone_are_found(sound: Registry, workspace: Workspace) -> None:
    sound.close()
    with closing(sqlite3.connect(str(sound.database.path), isolation_level=None)) as connection:
        connection.execute("DELETE FROM evaluation WHERE step = 4")
    found = checked(sound, workspace).findings
    assert [finding.kind for finding in found] == [FindingKind.ORPHANS]
    assert "2 rows whose row in evaluation is gone" in found[0].sentence


def test_a_damaged_page_is_found(sound: Registry, workspace: Workspace) -> None:
    sound.close()
    path = sound.database.path
    assert path is not None
    with path.open("rb+") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 4)
    found = checked(sound, workspace).findings
    assert {finding.kind for finding in found} == {FindingKind.DAMAGED}
    assert all("a5ctl registry repair" in finding.remedy for finding in found)


def test_no_database_and_one_that_is_none(sound: Registry, workspace: Workspace) -> None:
    sound.close()
    path = sound.database.path
    assert path is not None
    path.write_text("my notes " * 1000)
    for log in logs_beside(path):
        log.unlink(missing_ok=True)
    assert kinds(sound, workspace) == [FindingKind.DAMAGED]
    path.unlink()
    assert kinds(sound, workspace) == [FindingKind.MISSING]
    sqlite3.connect(path).execute("CREATE TABLE mine (x)")
    assert kinds(sound, workspace) == [FindingKind.DAMAGED]


def test_an_older_version_and_a_newer_one_are_told_apart(
    sound: Registry, workspace: Workspace
) -> None:
    go_back(sound, "0003")
    (older,) = checked(sound, workspace).findings
    assert (older.kind, "registry migrate" in older.remedy) == (FindingKind.VERSION, True)
    with sound.database.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    (newer,) = checked(sound, workspace).findings
    assert (newer.kind, newer.remedy) == (FindingKind.VERSION, "upgrade a5ctl")


@pytest.mark.parametrize("kind", ["blake3", "sha256", ""])
def test_a_checkpoint_is_compared_file_by_file_with_its_manifest(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "step-000001"
    (folder / MANIFEST).parent.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    make = blake3 if kind == "blake3" else hashlib.sha256
    checksum = f"{kind}:{make(b'weights').hexdigest()}".removeprefix(":")
    (folder / MANIFEST).write_text(json.dumps({"files": {"model.safetensors": checksum}}))
    seal = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    recorded = ArtifactRecord("checkpoint", "step-000001", size, seal, 0.0)
    assert changed(folder, recorded, read=True) is None
    (folder / "model.safetensors").write_bytes(b"WEIGHTS")
    assert changed(folder, recorded, read=True) == "has another model.safetensors than was recorded"
    assert changed(folder, recorded, read=False) is None
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text().replace("files", "fires"))
    assert changed(folder, recorded, read=True) == "has changed since it was recorded"


def test_a_real_checkpoint_of_the_trainers_is_understood(tmp_path: Path) -> None:
    from trainers.checkpoint_manifest import MANIFEST as WRITTEN

    assert WRITTEN == MANIFEST
