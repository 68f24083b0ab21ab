"""What doctor finds, how it says so, and its exit code."""

import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from a5ctl.commands.doctor import doctor, show
from a5ctl.doctor import checks as doctor_checks
from a5ctl.doctor.check import Check, Status
from a5ctl.doctor.checks import all_checks, engine_checks, workspace_checks
from core.engines import select
from core.engines.stack import Stack

PASSING = Check("engines", "generation", Status.OK, "vllm: vLLM 0.32.0 because it is installed")
FAILING = Check(
    "workspace", "folder", Status.FAIL, "/data: Permission denied", "choose with --home"
)


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(doctor)
    return app


def rendered(checks: list[Check], width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(checks, console)
    return console.file.getvalue()


def named(checks, name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_healthy_machine_exits_with_zero(app, monkeypatch):
    monkeypatch.setattr(doctor_checks, "all_checks", lambda home, registry: [PASSING])
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    assert "a5ctl run sft --size 256 would work here" in result.output


def test_anything_that_would_fail_exits_with_one_and_is_named(app, monkeypatch):
    monkeypatch.setattr(doctor_checks, "all_checks", lambda home, registry: [PASSING, FAILING])
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 1
    assert "Would fail: folder" in result.output
    assert "choose with --home" in result.output


def test_json_holds_every_check(app, monkeypatch):
    monkeypatch.setattr(doctor_checks, "all_checks", lambda home, registry: [PASSING, FAILING])
    result = CliRunner().invoke(app, ["--json"])
    document = json.loads(result.stdout)
    assert document["ok"] is False
    assert [check["status"] for check in document["checks"]] == ["ok", "fail"]
    assert result.exit_code == 1


@pytest.mark.parametrize("width", [80, 140])
def test_lines_fit_the_terminal_and_nothing_is_cut(width):
    path = "/scratch/" + "very-long-folder/" * 12
    text = rendered([Check("workspace", "folder", Status.OK, path)], width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert path in "".join(
        line.strip().removeprefix("+ folder").strip() for line in text.split("\n")
    )


def test_paths_cannot_smuggle_markup_or_escape_codes():
    text = rendered([Check("workspace", "folder", Status.OK, "[red]x[/red]\x1b[31m")], 80)
    assert "[red]x[/red]\\x1b[31m" in text


def test_unexpected_error_in_a_check_is_a_finding(monkeypatch):
    def broken():
        raise RuntimeError("no such file")
        yield

    monkeypatch.setattr(doctor_checks, "machine_checks", broken)
    found = named(all_checks(None, None), "unexpected")
    assert (found.status, found.value) == (Status.FAIL, "RuntimeError: no such file")


def test_engine_says_why_it_is_not_vllm(monkeypatch):
    monkeypatch.setattr(select, "vllm_version", lambda: "0.32.0")
    monkeypatch.setattr(select, "find_stack", lambda: Stack("2.13.0+cpu", vllm="0.32.0"))
    check = named(engine_checks(), "generation")
    assert check.status is Status.OK
    assert "vLLM 0.32.0 is built for CUDA and torch 2.13.0+cpu is not" in check.value


def test_missing_workspace_would_be_created(tmp_path):
    checks = list(workspace_checks(tmp_path / "new" / "place", None))
    assert all(check.status is not Status.FAIL for check in checks)
    assert "would be created" in named(checks, "folder").value
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folder permissions need POSIX")
def test_unwritable_workspace_fails(tmp_path, monkeypatch):
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor_checks.tempfile, "TemporaryFile", refuse)
    check = named(workspace_checks(tmp_path, None), "folder")
    assert check.status is Status.FAIL
    assert "--home" in check.fix


def test_file_of_another_program_is_no_registry(tmp_path):
    other = tmp_path / "other.db"
    other.write_bytes(b"this is no database" * 100)
    check = named(workspace_checks(tmp_path, str(other)), "registry")
    assert check.status is Status.FAIL
    assert "other.db" in check.value


def test_full_disk_fails(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1 << 20})
    monkeypatch.setattr(doctor_checks.shutil, "disk_usage", lambda folder: usage)
    assert named(workspace_checks(tmp_path, None), "disk").status is Status.FAIL


def test_sqlite_on_a_network_file_system_is_a_warning(tmp_path, monkeypatch):
    table = tmp_path / "mounts"
    table.write_text("31 1 0:27 / / rw - ext4 /dev/sda1 rw\n")
    monkeypatch.setattr("core.file_systems.MOUNTS", table)
    assert named(workspace_checks(tmp_path, None), "file system").status is Status.OK
    table.write_text("31 1 0:27 / / rw - nfs4 server:/home rw\n")
    found = named(workspace_checks(tmp_path, None), "file system")
    assert found.status is Status.WARN
    assert "network file system (nfs4)" in found.value
    assert "--registry" in found.fix
    elsewhere = named(workspace_checks(tmp_path, "postgresql://server/runs"), "file system")
    assert elsewhere.status is Status.OK


def mended(home: Path) -> tuple[int, dict]:
    from a5ctl.app import app as program

    told = CliRunner().invoke(program, ["doctor", "--fix", "--json", "--home", str(home)])
    return told.exit_code, json.loads(told.stdout)


@pytest.fixture
def worn(one_run: Path, tmp_path: Path) -> Path:
    """A workspace with one recorded run, for tests that spoil it."""
    home = tmp_path / "worn"
    shutil.copytree(one_run, home)
    return home


def status(document: dict, name: str) -> str:
    return next(check["status"] for check in document["checks"] if check["name"] == name)


def test_fix_makes_the_workspace(tmp_path: Path) -> None:
    code, found = mended(tmp_path / "new")
    assert code == 0
    assert (tmp_path / "new").is_dir()
    assert found["mended"] == [f"folder: made {tmp_path / 'new'}"]


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["gone", "overwritten"])
def test_fix_makes_a_lost_or_damaged_registry_anew(worn: Path, damage: str) -> None:
    file = worn / "registry.db"
    for beside in worn.glob("registry.db-*"):
        beside.unlink()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(b"scratched " * 400)
    told = named(workspace_checks(worn, None), "registry")
    assert (told.status, told.fix, told.mendable) == (Status.FAIL, "a5ctl registry repair", True)
    code, found = mended(worn)
    assert (code, status(found, "registry")) == (0, "ok"), found["mended"]
    assert "with 1 runs" in found["mended"][0]
    if damage == "overwritten":
        kept = [p for p in worn.glob("registry.db?*") if p.read_bytes()[:9] == b"scratched"]
        assert len(kept) == 1


@pytest.mark.slow
def test_fix_closes_runs_whose_process_is_gone(tmp_path: Path) -> None:
    import subprocess

    from core.registry.processes import host_name
    from tests.a5ctl.handmade import evaluation, open_home, record, right

    record(tmp_path, "sft-dead", [evaluation([right(10)])])
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    registry = open_home(tmp_path)
    with registry.database.begin() as connection:
        from sqlalchemy import text

        sql = "UPDATE run SET status='running', ended=NULL, host=:h, pid=:p, heartbeat=0"
        connection.execute(text(sql), {"h": host_name(), "p": gone.pid})
    registry.close()
    told = named(workspace_checks(tmp_path, None), "lost runs")
    assert told.status is Status.WARN
    assert "a5ctl close sft-dead" in told.fix
    code, found = mended(tmp_path)
    assert code == 0
    assert "closed sft-dead" in found["mended"][0]
    assert open_home(tmp_path).find_run("sft-dead").status in ("finished", "interrupted")


def test_a_broken_file_of_defaults_is_told_and_left(tmp_path: Path) -> None:
    (tmp_path / "a5ctl.toml").write_text("[train]\nlearning_rate = 1\n")
    told = named(workspace_checks(tmp_path, None), "defaults")
    assert (told.status, told.fix) == (Status.FAIL, "a5ctl init --force replaces it")
    assert mended(tmp_path)[0] == 1
    assert "learning_rate" in (tmp_path / "a5ctl.toml").read_text()


def test_every_failing_check_says_what_mends_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(doctor_checks, "_version", lambda name: None)
    monkeypatch.setattr(doctor_checks, "_NO_DISK", 1 << 62)
    (tmp_path / "a5ctl.toml").write_text("[")
    (tmp_path / "registry.db").write_bytes(b"another program's " * 100)
    found = [check for check in all_checks(tmp_path, None) if check.status is Status.FAIL]
    assert {"packages", "registry", "defaults", "disk"} <= {check.name for check in found}
    assert [check.name for check in found if not check.fix] == []
