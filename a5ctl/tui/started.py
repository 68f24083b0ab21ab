"""Programs that were started from a screen: on their own, with a log, told of when they fail."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError
from core.workspace import Workspace

_LOGS = ("cache", "started")
_TAIL_BYTES = 4096
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Started:
    """One program.

    Attributes:
        about: What it does, for messages.
        log: What it prints.
    """

    about: str
    log: Path
    process: "subprocess.Popen[bytes]"

    def last_words(self) -> str:
        """The end of its log in one line."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
                text = _ESCAPES.sub("", file.read().decode("utf-8", "replace"))
        except OSError as error:
            return f"its log cannot be read: {error.strerror or error}"
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        begin = max((n for n, line in enumerate(lines) if line.startswith("error:")), default=-3)
        return " ".join(lines[begin:])


def start(
    workspace: Workspace, registry: str | None, arguments: Sequence[str], about: str
) -> Started:
    """Start `a5ctl` with these arguments; it goes on when the screen is closed.

    Args:
        workspace: Where it works.
        registry: Another registry than that of the workspace.
        arguments: Of the program.
        about: What it does, for messages.

    Raises:
        UserError: the log cannot be written, or no program can be started.
    """
    folder = workspace.root.joinpath(*_LOGS)
    name = re.sub(r"[^A-Za-z0-9-]+", "-", about)[:60]
    log = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{name}.log"
    environment = {**os.environ, "A5CTL_HOME": str(workspace.root), "COLUMNS": "100"}
    if registry is not None:
        environment["A5CTL_REGISTRY"] = registry
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with log.open("xb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "a5ctl", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
    except OSError as error:
        raise UserError(f"it could not be started: {error.strerror or error} ({log})") from error
    return Started(about, log, process)
