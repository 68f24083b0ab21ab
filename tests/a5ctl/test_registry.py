"""The commands that look after the registry, as a person calls them."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from core.registry.migrations import HEAD
from core.registry.same_file import logs_beside
from core.registry.store import Registry, RunStatus, open_registry
from core.workspace import Workspace, open_workspace
from tests.core.registry.conftest import go_back, new_run
from tests.core.registry.lived_in import RUN, killed_run, proven_dead


@pytest.fixture
def workspace(one_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("A5CTL_REGISTRY", raising=False)
    shutil.copytree(one_run, tmp_path / "home")
    return open_workspace(tmp_path / "home")


@pytest.fixture
def registry(workspace: Workspace) -> Registry:
    return open_registry(workspace.registry_url())


def call(workspace: Workspace, *arguments: str) -> Result:
    return ask(workspace, "registry", *arguments)


def ask(workspace: Workspace, *arguments: str) -> Result:
    from a5ctl.app import app

    environment = {"A5CTL_HOME": str(workspace.root), "COLUMNS": "100", "NO_COLOR": "1"}
    return CliRunner(env=environment).invoke(app, arguments)


def said(result: Result) -> str:
    return " ".join(result.output.split())


def test_the_path_is_told_whether_or_not_there_is_a_file(workspace: Workspace) -> None:
    expected = f"{workspace.root / 'registry.db'}\n"
    assert call(workspace, "path").stdout == expected
    (workspace.root / "registry.db").unlink()
    assert call(workspace, "path").stdout == expected
    assert not (workspace.root / "registry.db").exists()


def test_a_server_is_named_without_its_password(workspace: Workspace) -> None:
    url = "postgresql://me:secret@far/runs"
    assert call(workspace, "path", "--registry", url).stdout == "postgresql://far/runs\n"
    refused = call(workspace, "check", "--registry", url)
    assert (refused.exit_code, "is on a server" in said(refused)) == (2, True)
    assert "secret" not in refused.output


def test_stats_count_rows_and_room(workspace: Workspace) -> None:
    figures = json.loads(call(workspace, "stats", "--json").stdout)
    assert figures["runs"] == {"finished": 1}
    assert figures["rows"]["evaluation"] == 3
    assert figures["version"] == HEAD
    assert figures["checkpoint_bytes"] == 3 * 1005
    assert figures["journal_bytes"] > 0
    text = said(call(workspace, "stats"))
    assert "runs 1 finished" in text
    assert "checkpoints 3.0 kB" in text


def test_check_says_what_is_wrong_and_fails(workspace: Workspace) -> None:
    sound = call(workspace, "check")
    assert (sound.exit_code, "nothing is wrong" in said(sound)) == (0, True)
    (workspace.run_folder(RUN) / "pairs.jsonl").unlink()
    wrong = call(workspace, "check", "--quick")
    assert wrong.exit_code == 1
    assert f"pairs.jsonl of run {RUN} is missing; restore it from a backup" in said(wrong)
    assert "1 finding;" in said(wrong)
    report = json.loads(call(workspace, "check", "--json").stdout)
    assert (report["ok"], [f["kind"] for f in report["findings"]]) == (False, ["artifact_missing"])


@pytest.mark.slow
def test_backup_then_a_lost_registry_then_the_copy(workspace: Workspace, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    made = call(workspace, "backup", str(copy))
    assert (made.exit_code, "holds 1 run of" in said(made)) == (0, True)
    again = call(workspace, "backup", str(copy))
    assert (again.exit_code, "--force" in said(again)) == (2, True)
    assert call(workspace, "backup", str(copy), "--force").exit_code == 0
    listed = json.loads(call(workspace, "stats", "--json", "--registry", str(copy)).stdout)
    assert listed["runs"] == {"finished": 1}


@pytest.mark.slow
def test_repair_brings_a_deleted_registry_back(workspace: Workspace) -> None:
    (workspace.root / "registry.db").unlink()
    missing = call(workspace, "check")
    assert (missing.exit_code, "a5ctl registry repair" in said(missing)) == (1, True)
    assert call(workspace, "stats").exit_code == 2
    for command in (("ls",), ("show", RUN), ("resume", RUN)):
        lost = ask(workspace, *command)
        assert (lost.exit_code, "bring them back with: a5ctl registry repair" in said(lost)) == (
            2,
            True,
        )
    done = call(workspace, "repair")
    assert (done.exit_code, "holds 1 run," in said(done)) == (0, True)
    assert call(workspace, "check").exit_code == 0


@pytest.mark.slow
def test_repair_journals_what_only_the_database_holds(
    workspace: Workspace, registry: Registry
) -> None:
    registry.note_plan("plan", "hash", "text")
    first_seen = registry.note_plan("plan", "hash", "text")[0].first_seen
    registry.close()
    done = call(workspace, "repair")
    assert done.exit_code == 0
    assert "journals now have what only the old database held: 1 plan" in said(done)
    (workspace.root / "registry.db").unlink()
    assert json.loads(call(workspace, "repair", "--json").stdout)["journaled"] == {}
    assert registry.note_plan("plan", "hash", "text")[0].first_seen == first_seen


@pytest.mark.slow
def test_repair_leaves_what_no_journal_can_hold_unless_forced(
    workspace: Workspace, registry: Registry
) -> None:
    registry.create_run(new_run(id="sft-no-folder"))
    registry.close()
    refused = call(workspace, "repair")
    assert refused.exit_code == 1
    assert "only the old database holds 1 row of run" in said(refused)
    forced = json.loads(call(workspace, "repair", "--force", "--json").stdout)
    assert (forced["replaced"], forced["lacking"]) == (True, {"run": 1})
    assert Path(forced["kept"]).is_file()


def test_gc_shows_first_and_removes_when_told(workspace: Workspace) -> None:
    folder = workspace.run_folder(RUN) / "checkpoints" / "step-000008"
    shown = call(workspace, "gc")
    assert "1.0 kB" in said(shown)
    assert "could be freed with: a5ctl registry gc --yes" in said(shown)
    assert folder.is_dir()
    done = json.loads(call(workspace, "gc", "--yes", "--json").stdout)
    assert (done["removed"], done["bytes"]) == (True, 1005)
    assert not folder.exists()
    assert "nothing to free" in said(call(workspace, "gc"))
    assert call(workspace, "check").exit_code == 0


@pytest.mark.slow
def test_migrate_says_from_where_to_where(workspace: Workspace, registry: Registry) -> None:
    go_back(registry, "0002")
    behind = call(workspace, "check")
    assert (behind.exit_code, "a5ctl registry migrate" in said(behind)) == (1, True)
    moved = call(workspace, "migrate")
    assert f"went from version 0002 to {HEAD}" in said(moved)
    assert f"has version {HEAD} already" in said(call(workspace, "migrate"))
    assert json.loads(call(workspace, "migrate", "--json").stdout)["from"] == HEAD
    nowhere = call(workspace, "migrate", "--registry", str(workspace.root / "none.db"))
    assert (nowhere.exit_code, "there is no registry" in said(nowhere)) == (2, True)
    assert not (workspace.root / "none.db").exists()


def test_a_run_closed_by_hand_is_closed_after_a_repair(
    workspace: Workspace, registry: Registry
) -> None:
    from a5ctl.app import app

    run = killed_run(registry, workspace, "sft-256-dddd")
    proven_dead(registry, run)
    closed = CliRunner(env={"A5CTL_HOME": str(workspace.root)}).invoke(app, ["close", run.id])
    assert closed.exit_code == 0, closed.output
    before = registry.run_by_uuid(run.uuid)
    assert (before.status, before.exit_reason) == (RunStatus.INTERRUPTED, "closed by hand")
    registry.close()
    for old in (workspace.root / "registry.db", *logs_beside(workspace.root / "registry.db")):
        old.unlink(missing_ok=True)
    assert call(workspace, "repair").exit_code == 0
    after = registry.run_by_uuid(run.uuid)
    assert (after.status, after.exit_reason, after.ended) == (
        before.status,
        before.exit_reason,
        before.ended,
    )
