"""The program asked in this process about a workspace, as a person without colours asks it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from a5ctl.app import app


def ask(home: Path, *arguments: object, width: int = 100, given: str | None = None) -> Result:
    """Run a command; `given` is its standard input."""
    return CliRunner().invoke(
        app,
        [*map(str, arguments), "--home", str(home)],
        env={"COLUMNS": str(width), "NO_COLOR": "1"},
        input=given,
    )


def shown(home: Path, *arguments: object, width: int = 100) -> str:
    """What a command prints that ends well."""
    result = ask(home, *arguments, width=width)
    assert result.exit_code == 0, result.output
    return result.stdout


def document(home: Path, *arguments: object, given: str | None = None, code: int = 0) -> Any:
    """What it prints with --json; a number that JSON does not have is an error."""
    result = ask(home, *arguments, "--json", given=given)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout, parse_constant=pytest.fail)


def refusal(home: Path, *arguments: object) -> str:
    """The sentence with which bad input is refused, on one line."""
    result = ask(home, *arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.stderr.split())
