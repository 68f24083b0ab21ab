"""What the pages let a shell do is done by one."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.a5ctl import handmade
from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import evaluation, right
from tests.a5ctl.scripts import in_process, tell
from tests.docs.account import SHELL, executed_by
from tests.docs.printed import lines

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell")
LINES = list(dict.fromkeys(line.text for line in executed_by(SHELL)))
ENVIRONMENT = [text for text in LINES if "venv" in text]
EXPORTS = [text for text in LINES if text.startswith("export ")]
RESTORING = [text for text in LINES if text.startswith(("rm ", "cp "))]
ASKED = [text for text in LINES if text.startswith("sqlite3 ")]


def shell(text: str, folder: Path) -> str:
    """Let a shell do it in a folder; returns what it prints."""
    told = subprocess.run(
        ["sh", "-c", text], cwd=folder, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_all_are_taken() -> None:
    assert sorted((*ENVIRONMENT, *EXPORTS, *RESTORING, *ASKED)) == sorted(LINES)


@pytest.mark.parametrize("text", ENVIRONMENT)
def test_an_environment_is_made_and_entered(text: str, tmp_path: Path) -> None:
    if "-m venv" not in text:
        venv.create(tmp_path / ".venv", with_pip=False)
    if "-m venv" in text:  # pip, which is not looked at here, takes seconds
        rest = text.partition(" ")[2]
        text = f"{sys.executable} {rest}".replace("-m venv", "-m venv --without-pip")
    shell(text, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] in ([".venv"], ["PEER"])


@pytest.mark.parametrize("text", EXPORTS)
def test_a_variable_is_set(text: str, tmp_path: Path) -> None:
    assert text.removeprefix("export ") in shell(f"{text}; env", tmp_path).splitlines()


@pytest.fixture
def house(tmp_path: Path) -> House:
    home = tmp_path / "home"
    home.mkdir()
    handmade.record(home, "sft-256-k3f9", [evaluation([right(10)])])
    return House(home, home, home)


def test_a_backup_takes_the_place_of_the_registry(house: House, tmp_path: Path) -> None:
    (backup,) = {line.text for line in lines() if "registry backup /backups/monday" in line.text}
    place = os.fspath(tmp_path)
    words = backup.replace("/backups", place).split()[1:]
    assert house.run(*words).exit_code == 0
    assert len(RESTORING) == 2
    shell(RESTORING[0], house.home)
    assert not (house.home / "registry.db").exists()
    shell(RESTORING[1].replace("/backups", place), house.home)
    assert [run["id"] for run in house.json("ls")] == ["sft-256-k3f9"]


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="sqlite3 is not installed")
@pytest.mark.parametrize("text", ASKED)
def test_another_program_reads_the_registry(text: str, house: House, tmp_path: Path) -> None:
    script = tmp_path / "asked.sh"
    script.write_text(text)
    environment = {"A5CTL_HOME": os.fspath(house.home)}
    told = tell(
        script, tmp_path, lambda words: in_process(words, environment), environment=environment
    )
    assert (told.code, told.text) == (0, "sft-256-k3f9|finished\n")
