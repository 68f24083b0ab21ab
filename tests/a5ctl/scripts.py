"""Shell scripts whose `a5ctl` is answered by the test process.

So no command pays for a start of its own, and a test may answer in the program's place.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from tests.a5ctl.conftest import ROOT

PROGRAM = f"""#!{sys.executable} -S
import json, os, socket, sys
with socket.create_connection(("127.0.0.1", int(os.environ["DESK"]))) as line:
    talk = line.makefile("rw")
    talk.write(json.dumps(sys.argv[1:]) + chr(10))
    talk.flush()
    code, text = json.loads(talk.readline())
sys.stdout.write(text)
sys.exit(code)
"""

Command = list[str]
Answer = Callable[[Command], tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Told:
    """A script that has ended: its exit code, what it printed, and the commands it gave."""

    code: int
    text: str
    commands: tuple[Command, ...]

    def given(self, *beginning: str) -> list[Command]:
        """The commands that begin so."""
        return [each for each in self.commands if each[: len(beginning)] == list(beginning)]


def tell(
    script: Path, folder: Path, answer: Answer, *words: str, environment: Mapping[str, str]
) -> Told:
    """Run a script whose `a5ctl` is answered by a function in this process."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    python = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
    for name, text in (("a5ctl", PROGRAM), ("python", python)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    commands: list[Command] = []
    with socket.create_server(("127.0.0.1", 0)) as desk:
        desk.settimeout(0.1)
        path = f"{tools}{os.pathsep}{os.environ['PATH']}"
        own = {"DESK": str(desk.getsockname()[1]), "PATH": path, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            ["sh", str(script), *words],
            cwd=folder,
            env={**os.environ, **own, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while process.poll() is None:
            try:
                line, _ = desk.accept()
            except TimeoutError:
                continue
            with line, line.makefile("rw") as talk:
                commands.append(json.loads(talk.readline()))
                talk.write(json.dumps(answer(commands[-1])) + "\n")
    text, _ = process.communicate()
    return Told(process.returncode, text, tuple(commands))


def in_process(command: Command, environment: Mapping[str, str]) -> tuple[int, str]:
    """What the program answers."""
    from a5ctl.app import app

    result = CliRunner(env={**environment, "NO_COLOR": "1"}).invoke(app, command)
    return result.exit_code, result.stdout if result.exit_code == 0 else result.output
