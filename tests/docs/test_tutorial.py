"""The tutorial: its commands are ones the program has, and its outputs stand below them."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from tests.a5ctl.test_help import resolve

SCRIPT = Path(__file__).parents[2] / "docs" / "tutorial.py"
PAGE = runpy.run_path(str(SCRIPT))
TEXT = PAGE["PAGE"].read_text(encoding="utf-8")


@pytest.mark.parametrize("command", PAGE["commands"](TEXT))
def test_every_command_is_one_that_the_program_takes(command: str) -> None:
    words = shlex.split(command)
    resolve(shlex.join(words[words.index("a5ctl") :]))


def test_every_command_was_run() -> None:
    blocks = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == len(PAGE["commands"](TEXT)) >= 10
    assert [block for block in blocks if len(block.splitlines()) < 2] == []


def test_names_in_commands_were_given_before() -> None:
    given: set[str] = set()
    for command in PAGE["commands"](TEXT):
        words = shlex.split(command)
        used = {words[words.index(o) + 1] for o in ("--init", "--against") if o in words}
        assert used <= given, command
        if "--name" in words:
            given.add(words[words.index("--name") + 1])


@pytest.mark.slow
def test_a_block_is_run_and_rewritten(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    told = PAGE["_told"]("$ echo one\nold\n$ a5ctl registry path\n", tmp_path / "ws")
    assert told == "$ echo one\none\n$ a5ctl registry path\n~/ws/registry.db\n"
