"""A workspace is found, made, and never left."""

import os
from pathlib import Path

import pytest

from core.errors import UserError
from core.workspace import Workspace, new_run_id, open_workspace


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A5CTL_HOME", raising=False)
    monkeypatch.delenv("A5CTL_REGISTRY", raising=False)


def test_the_current_folder_is_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_workspace().root == tmp_path


def test_home_wins_over_the_environment_and_that_over_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A5CTL_HOME", str(tmp_path / "environment"))
    assert open_workspace().root == tmp_path / "environment"
    assert open_workspace(tmp_path / "given").root == tmp_path / "given"


def test_a_missing_workspace_is_made_only_to_write(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        open_workspace(tmp_path / "new", create=False)
    assert open_workspace(tmp_path / "new" / "deep").root.is_dir()
    assert list((tmp_path / "new" / "deep").iterdir()) == [], "the probe leaves nothing behind"


def test_a_file_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file; give a folder"):
        open_workspace(tmp_path / "file")
    with pytest.raises(UserError, match="cannot be written"):
        open_workspace(tmp_path / "file" / "below")


def test_an_unwritable_workspace_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("core.workspace.tempfile.NamedTemporaryFile", refuse)
    with pytest.raises(UserError, match=r"cannot be written \(Permission denied\); choose another"):
        open_workspace(tmp_path)
    assert open_workspace(tmp_path, create=False).root == tmp_path


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc", "a\\b", "-rf", ".hidden", "a\0", "a\n", "x" * 200],
)
def test_no_name_leads_out_of_the_workspace(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="not a folder name"):
        Workspace(tmp_path).run_folder(name)


def test_run_folders_lie_under_runs(tmp_path: Path) -> None:
    assert Workspace(tmp_path).run_folder("sft-256-k3f9") == tmp_path / "runs" / "sft-256-k3f9"


def test_the_registry_is_in_the_workspace_unless_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.registry_url() == f"sqlite:///{tmp_path / 'registry.db'}"
    monkeypatch.setenv("A5CTL_REGISTRY", "postgresql://host/db")
    assert workspace.registry_url() == "postgresql://host/db"
    assert workspace.registry_url("sqlite:////x.db") == "sqlite:////x.db"
    assert workspace.registry_url("some/file.db") == f"sqlite:///{Path.cwd()}/some/file.db"


def test_run_ids_say_what_a_run_is_and_can_be_folders(tmp_path: Path) -> None:
    ids = {new_run_id("sft", 256) for _ in range(200)}
    assert len(ids) > 190
    for run_id in ids:
        assert run_id.startswith("sft-256-")
        assert Workspace(tmp_path).run_folder(run_id).name == run_id
    assert new_run_id("eval", None).count("-") == 1
    assert os.sep not in new_run_id("sft", 1)
