"""Runs every command of a page in a fresh workspace and writes what it prints below it.

    python docs/tutorial.py
    python docs/tutorial.py docs/a-week-with-a5ctl.md

The tutorial takes some minutes, the week most of an hour. Lines of console blocks that begin with
`$ ` are commands; the rest of a block is replaced. A block with a title is a file of the workspace.
Nothing is cut; colours and bars are left out, as in a pipe. What ended well in a workspace that
`--workspace` names is not run again: a page that was stopped goes on.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).with_name("tutorial.md")
ROOT = Path(__file__).parents[1]
WIDTH = 88
_BLOCK = re.compile(r"```console\n(.*?)```\n", re.DOTALL)
_FILE = re.compile(r"```\w+ title=\"([\w.-]+)\"\n(.*?)```\n", re.DOTALL)
_EITHER = re.compile(f"{_BLOCK.pattern}|{_FILE.pattern}", re.DOTALL)
_STOPPED = (124, 130, 137, -9)


def main() -> int:
    """Run all commands; the page is written when all of them have ended as they should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, nargs="?", default=PAGE)
    parser.add_argument("--workspace", type=Path, help="A folder of its own; a temporary one else.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tutorial-") as temporary:
        place = given.workspace or Path(temporary) / given.page.stem
        place.mkdir(parents=True, exist_ok=True)
        text = given.page.read_text(encoding="utf-8")
        made = _EITHER.sub(lambda block: _made(block, place), text)
    given.page.write_text(made, encoding="utf-8")
    return 0


def commands(text: str) -> list[str]:
    """Every command line of the page, in order."""
    return [
        line.removeprefix("$ ")
        for block in _BLOCK.findall(text)
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def _made(block: re.Match[str], place: Path) -> str:
    """A block with what its commands print; a file is written, and shown as it is."""
    shown, name, text = block.groups()
    if name is None:
        return f"```console\n{_told(shown, place)}```\n"
    (place / name).write_text(text, encoding="utf-8")
    return block[0]


def _told(block: str, place: Path) -> str:
    lines = []
    for line in block.splitlines():
        if line.startswith("$ "):
            lines += [line, *_once(line.removeprefix("$ "), place)]
    return "\n".join(lines) + "\n"


def _once(command: str, place: Path) -> list[str]:
    """What it said when it was run here before, else what it says now."""
    record = place.parent / f"{place.name}-told.json"
    told: dict[str, list[str]] = json.loads(record.read_text()) if record.exists() else {}
    if command not in told:
        told[command] = _run(command, place)
        record.write_text(json.dumps(told, indent=1))
    return told[command]


def _run(command: str, place: Path) -> list[str]:
    print(f"$ {command}", flush=True)
    ended = subprocess.run(
        ["bash", "-c", command], cwd=place, env=_environment(place), text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    print(ended.stdout, flush=True)
    allowed = _STOPPED if command.startswith("timeout ") else (0,)
    if ended.returncode not in allowed:
        raise SystemExit(f"{command} ended with {ended.returncode}")
    shown = ended.stdout.replace(str(place), f"~/{place.name}").rstrip()
    return [line.rstrip() for line in shown.splitlines()]


def _environment(place: Path) -> dict[str, str]:
    """This checkout's program under the name that people type, and nothing of the caller's."""
    programs = place.parent / f"{place.name}-bin"
    programs.mkdir(exist_ok=True)
    program = programs / "a5ctl"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'a5ctl'\n"
        "from a5ctl.__main__ import main\nmain()\n"
    )
    program.chmod(0o755)
    python = programs / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("A5CTL_")}
    path = f"{programs}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": str(WIDTH), "NO_COLOR": "1"}


if __name__ == "__main__":
    sys.exit(main())
