"""Tags, notes and the archive: in the registry, in the run folder, and in one that is rebuilt."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from a5ctl.app import app
from core.registry.journal import merge_journal
from core.registry.labels import LABELS_NAME
from core.registry.live_runs import RECORDER_LOCK
from core.registry.records import RunRecord
from core.registry.store import Registry, open_registry
from core.workspace import Workspace
from tests.a5ctl.handmade import evaluation, open_home, record, right


@pytest.fixture
def home(tmp_path: Path) -> Path:
    record(tmp_path, "sft-a", [evaluation([right(10)])])
    record(tmp_path, "sft-b", [])
    return tmp_path


def call(home: Path, *arguments: str) -> Result:
    environment = {"COLUMNS": "100", "NO_COLOR": "1", "A5CTL_HOME": str(home)}
    return CliRunner(env=environment).invoke(app, list(arguments))


def said(home: Path, *arguments: str) -> str:
    result = call(home, *arguments)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def refused(home: Path, *arguments: str) -> str:
    result = call(home, *arguments)
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


def run_of(home: Path, run_id: str) -> RunRecord:
    return open_home(home).find_run(run_id)


def rebuilt(home: Path) -> Registry:
    """A new registry made from the run folders alone."""
    (home / "registry.db").unlink()
    for rest in home.glob("registry.db-*"):
        rest.unlink()
    registry = open_home(home)
    for folder in sorted((home / "runs").iterdir()):
        merge_journal(registry, folder)
    return registry


def test_tags_are_put_on_and_taken_off(home: Path) -> None:
    assert said(home, "tag", "sft-a", "sft-b", "+good", "+draft") == (
        "sft-a tags: good, draft sft-b tags: good, draft"
    )
    assert said(home, "tag", "sft-a", "-draft", "+héllo wörld") == "sft-a tags: good, héllo wörld"
    assert run_of(home, "sft-a").tags == ("good", "héllo wörld")
    assert said(home, "tag", "sft-b") == "sft-b tags: good, draft"
    (found,) = json.loads(call(home, "ls", "--where", "tags has good and not tags has draft",
                               "--json").stdout)  # fmt: skip
    assert found["id"] == "sft-a"


def test_a_tag_that_looks_like_options_is_a_tag(home: Path) -> None:
    said(home, "tag", "sft-a", "+hard", "+h", "+k=v")
    assert said(home, "tag", "sft-a", "-hard", "-h", "-k=v") == "sft-a tags: none"


@pytest.mark.slow
def test_what_is_no_change_is_refused_before_anything_changes(home: Path) -> None:
    assert "no run is named" in refused(home, "tag", "+good")
    assert "no option of a5ctl tag" in refused(home, "tag", "sft-a", "--jsno")
    assert "is no tag" in refused(home, "tag", "sft-a", "+")
    assert "is no tag" in refused(home, "tag", "sft-a", "+\x1b[31m")
    assert "put on and taken off at once" in refused(home, "tag", "sft-a", "+x", "-x")
    assert "there is no run 'sft-z'" in refused(home, "tag", "sft-a", "sft-z", "+x")
    assert run_of(home, "sft-a").tags == ()


@pytest.mark.slow
def test_a_note_is_set_shown_and_removed(home: Path) -> None:
    assert said(home, "note", "sft-a", "100% [bold]sure") == "sft-a note: 100% [bold]sure"
    assert said(home, "note", "sft-a") == "sft-a note: 100% [bold]sure"
    assert said(home, "note", "sft-a", "") == "sft-a note: none"
    assert "at most 10,000" in refused(home, "note", "sft-a", "x" * 10_001)


@pytest.mark.slow
def test_notes_and_tags_lose_what_is_secret(home: Path) -> None:
    login, token = "https://me:hunter22@host", "HF_TOKEN=hf_abcdefghijklmnopqrst"
    said(home, "note", "sft-a", f"data from {login}/x, {token}")
    said(home, "tag", "sft-a", f"+{login}")
    for place in [*home.glob("registry.db*"), *(home / "runs").rglob("*.json*")]:
        content = place.read_bytes()
        assert b"hunter22" not in content, place
        assert b"hf_abcdef" not in content, place
    assert "data from https://***@host/x" in said(home, "note", "sft-a")


@pytest.mark.slow
def test_archived_runs_leave_ls_and_compare_until_they_are_asked_for(home: Path) -> None:
    record(home, "sft-c", [evaluation([right(10)])])
    assert said(home, "archive", "sft-a") == "sft-a in the archive"
    assert "sft-a" not in said(home, "ls")
    assert "sft-a" in said(home, "ls", "--archived")
    assert "sft-a" not in said(home, "compare", "--each")
    assert "sft-a" in said(home, "compare", "--each", "--archived")
    assert "sft-a" in said(home, "compare", "--each", "sft-a", "sft-c")
    assert "sft-a" in said(home, "show", "sft-a")
    assert said(home, "archive", "--undo", "sft-a") == "sft-a not in the archive"
    assert "sft-a" in said(home, "ls")


@pytest.mark.slow
def test_a_registry_rebuilt_from_the_run_folders_has_all_of_it(home: Path) -> None:
    said(home, "tag", "sft-a", "+good")
    said(home, "note", "sft-a", "keep ü")
    said(home, "archive", "sft-b")
    registry = rebuilt(home)
    a, b = registry.find_run("sft-a"), registry.find_run("sft-b")
    assert (a.tags, a.note, a.archived) == (("good",), "keep ü", False)
    assert (b.tags, b.note, b.archived) == ((), "", True)


@pytest.mark.slow
def test_merging_again_does_not_bring_old_labels_back(home: Path) -> None:
    said(home, "tag", "sft-a", "+good")
    registry = rebuilt(home)
    said(home, "tag", "sft-a", "-good", "+best")
    with registry.database.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET journal_bytes = 0")
    merge_journal(registry, home / "runs" / "sft-a")
    assert registry.find_run("sft-a").tags == ("best",)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["{", "[]", '{"tags": [1], "note": "", "archived": false}', ""])
def test_damaged_labels_are_told_and_lose_nothing_else(home: Path, damage: str) -> None:
    said(home, "tag", "sft-a", "+good")
    (home / "runs" / "sft-a" / LABELS_NAME).write_text(damage)
    registry = rebuilt(home)
    run = registry.find_run("sft-a")
    assert run.tags == ()
    assert [event.kind for event in registry.events(run.uuid)] == ["labels_damaged"]
    assert len(registry.evaluations([run.uuid])) == 1


def test_a_run_without_a_folder_is_labelled_in_the_registry_and_says_so(home: Path) -> None:
    folder = home / "runs" / "sft-b"
    folder.rename(home / "elsewhere")
    assert "only in the registry" in said(home, "tag", "sft-b", "+good")
    assert run_of(home, "sft-b").tags == ("good",)
    assert not folder.exists()


@pytest.mark.skipif(os.name == "nt", reason="folders are write-protected in another way there")
def test_a_folder_that_cannot_be_written_leaves_the_registry_as_it_was(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("core.whole_files.os.fsync", fail)
    assert "so nothing was changed" in refused(home, "tag", "sft-a", "+good")
    assert run_of(home, "sft-a").tags == ()
    assert not list((home / "runs" / "sft-a").glob(".*.partial"))


def test_an_older_registry_gets_the_archive_and_keeps_its_runs(home: Path) -> None:
    from tests.core.registry.conftest import go_back

    registry = open_home(home)
    before = registry.runs()
    go_back(registry, "0004")
    assert open_registry(registry.database.url).runs() == before


def test_a_journal_from_before_the_archive_can_be_adopted(home: Path) -> None:
    journal = home / "runs" / "sft-a" / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if line["entry"] == "run":
            del line["columns"]["archived"]
    journal.write_text("".join(json.dumps(x, separators=(",", ":")) + "\n" for x in lines))
    assert rebuilt(home).find_run("sft-a").archived is False


@pytest.mark.slow
def test_deleting_says_what_goes_and_waits_for_yes(home: Path) -> None:
    parent = run_of(home, "sft-a")
    record(home, "grpo-c", [], kind="grpo", parent=parent)
    said(home, "tag", "sft-a", "+good")
    output = said(home, "delete", "sft-a")
    assert "run sft-a" in output
    assert "1 evaluation, 1 response, " in output
    assert str(Workspace(home).run_folder("sft-a")) in output.replace(" ", "")
    assert "loses its parent: grpo-c" in output
    assert "nothing was deleted; --yes deletes 1 run" in output
    assert run_of(home, "sft-a").id == "sft-a"
    plan = json.loads(call(home, "delete", "sft-a", "grpo-c", "--json").stdout)
    assert (plan["deleted"], [run["children"] for run in plan["runs"]]) == (False, [[], []])
    assert plan["runs"][0]["bytes"] > 0


@pytest.mark.slow
def test_deleting_takes_rows_and_folder_and_nothing_comes_back(home: Path) -> None:
    said(home, "delete", "sft-a", "--yes")
    assert sorted(path.name for path in (home / "runs").iterdir()) == ["sft-b"]
    assert "there is no run" in refused(home, "show", "sft-a")
    assert [run.id for run in rebuilt(home).runs()] == ["sft-b"]


@pytest.mark.slow
def test_a_run_that_may_be_alive_is_not_deleted(home: Path) -> None:
    registry = open_home(home)
    registry.set_status(run_of(home, "sft-a").uuid, "running")
    with registry.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE run SET host = 'elsewhere', heartbeat = 1 WHERE id='sft-a'"
        )
    os.utime(home / "runs" / "sft-a" / RECORDER_LOCK, (1, 1))
    assert "run sft-a is stale" in refused(home, "delete", "sft-a", "sft-b", "--yes")
    assert (home / "runs" / "sft-b").is_dir()
    assert said(home, "close", "sft-a")
    assert "deleted 1 run" in said(home, "delete", "sft-a", "--yes")


def test_a_run_that_is_being_recorded_is_not_deleted(home: Path) -> None:
    from core.registry.recorder import Recorder

    registry, run = open_home(home), run_of(home, "sft-a")
    with Recorder(registry, run.uuid, home / "runs" / "sft-a"):
        registry.set_status(run.uuid, "failed")
        assert "is being recorded" in refused(home, "delete", "sft-a", "--yes")
    assert (home / "runs" / "sft-a").is_dir()


def test_a_folder_comes_back_when_the_rows_do_not_go(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.errors import UserError

    def fail(*_: object) -> None:
        raise UserError("registry is locked")

    monkeypatch.setattr(Registry, "delete_run", fail)
    assert "locked" in refused(home, "delete", "sft-a", "--yes")
    assert (home / "runs" / "sft-a" / "journal.jsonl").is_file()


@pytest.mark.slow
def test_what_is_left_of_a_folder_is_no_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("core.registry.removal.shutil.rmtree", fail)
        assert "remove it by hand" in refused(home, "delete", "sft-a", "--yes")
    assert len(list((home / "runs").iterdir())) == 2
    assert [run.id for run in rebuilt(home).runs()] == ["sft-b"]


@pytest.mark.slow
def test_of_a_linked_folder_only_the_link_goes(home: Path) -> None:
    folder = home / "runs" / "sft-a"
    folder.rename(home / "elsewhere")
    folder.symlink_to(home / "elsewhere")
    said(home, "delete", "sft-a", "--yes")
    assert not folder.is_symlink()
    assert (home / "elsewhere" / "journal.jsonl").is_file()
