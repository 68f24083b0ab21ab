"""How the pages install the program: what is asked of pip exists, and pip understands it."""

import re
import shutil
import subprocess
import tomllib
from typing import Any

import pytest

import bootstrap
from tests.docs.account import INSTALLED, executed_by
from tests.docs.printed import ROOT

LINES = {line.text: line for line in executed_by(INSTALLED)}
PIP = [text for text in LINES if "pip" in LINES[text].words()[0] or "-m pip" in text]
BOOTSTRAP = [text for text in LINES if "bootstrap.py" in text]
MAKE = [text for text in LINES if text.startswith("make ")]


def test_all_are_taken() -> None:
    assert len(PIP) + len(BOOTSTRAP) + len(MAKE) == len(LINES)


@pytest.mark.parametrize("text", PIP)
def test_pip_understands(text: str) -> None:
    command = pytest.importorskip("pip._internal.commands").create_command
    words = LINES[text].words()
    words = words[words.index("pip") + 1 :] if "pip" in words else words[1:]
    options, rest = command(words[0]).parse_args(words[1:])
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = extras["optional-dependencies"].keys()
    given = [*rest, *getattr(options, "editables", [])]
    named = {name for word in given for name in re.findall(r"\[([\w-]+)\]", word)}
    assert named <= extras
    for file in getattr(options, "constraints", []):
        assert (ROOT / file).is_file()


@pytest.mark.parametrize("text", BOOTSTRAP)
def test_the_installer_does_what_is_asked(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own commands are noted in place of being run."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append([str(word) for word in command])
        return subprocess.CompletedProcess(command, 0, "", "")

    words = LINES[text].words()[1:]
    monkeypatch.setattr(bootstrap.subprocess, "run", run)
    monkeypatch.setattr(bootstrap.venv, "create", lambda *_, **__: None)
    monkeypatch.setattr(bootstrap.sys, "argv", words)
    assert bootstrap.main() == 0
    installs = [command for command in commands if "pip" in command]
    assert installs
    assert ("gpu" in installs[-1][-1]) == ("--gpu" in words)
    last = commands[-1]
    if "demo" in words:
        assert last[1:] == ["run", "sft", "--size", "256"]
    elif "test" in words:
        asked = words[words.index("test") + 1 :]
        assert last[1:3] == ["-m", "pytest"]
        assert last[len(last) - len(asked) :] == asked


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("text", MAKE)
def test_make_has_such_a_name(text: str) -> None:
    """It says what it would do."""
    target = LINES[text].words()[1]
    told = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    wanted = "benchmarks/all.py" if target == "bench" else f"bootstrap.py {target}"
    assert wanted in told.stdout
