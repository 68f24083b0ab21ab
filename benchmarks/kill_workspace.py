"""A workspace with a small model and small data, and processes at work on runs in it."""

import dataclasses
import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.kill_phases import ROOT, PhaseMap, fork_program
from core.registry.check import check_registry
from core.registry.database import Database
from core.registry.findings import FindingKind
from core.registry.migrations import REVISIONS
from core.registry.store import open_registry
from core.workspace import open_workspace
from tests.a5ctl.conftest import write_problems
from tests.core.registry.conftest import go_back
from tests.models import write_model

_TIMINGS = {"step_seconds", "tokens_per_second"}
_DEADLINE_S = 600


class Workspace:
    """A folder with a small model, small data, and runs of one setting.

    Args:
        folder: Where all of it goes.
        steps: Updates of each run.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self.home = folder / "home"
        self.database = self.home / "registry.db"
        self.phases = PhaseMap(folder / "phases")
        self._folder = folder
        self._options = [
            *("--model", str(write_model(folder / "model")), "--data", str(folder / "data")),
            *("--engine", "hf", "--size", "20", "--steps", str(steps), "--batch-size", "4"),
            *("--lr", "1e-3", "--threads", "1", "--max-tokens", "24"),
            *("--eval-every", str(max(1, steps // 6)), "--set", "train.checkpoint_every=1"),
        ]
        (folder / "data").mkdir()
        write_problems(folder / "data" / "train.jsonl", 40)
        write_problems(folder / "data" / "test.jsonl", 48, offset=100)

    def begin(self, name: str, *, fresh: bool = False) -> "Child":
        """Start a run of this name, or go on with it."""
        arguments = ["run", "sft", *self._options, "--name", name, "--quiet"]
        if self.status(name) is not None:
            arguments = ["resume", name, "--quiet"]
        self.phases.clear()
        log = self._folder / "log.txt"
        log.unlink(missing_ok=True)
        if not fresh:
            return Child(fork_program(self.phases.path, arguments, self.home, log), log)
        environment = {**os.environ, "A5CTL_HOME": str(self.home), "PYTHONPATH": str(ROOT)}
        program = ROOT / "benchmarks" / "kill_phases.py"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, str(program), str(self.phases.path), *arguments],
                env=environment,
                stdout=output,
                stderr=output,
            )
        return Child(process.pid, log)

    def finish(self, name: str, child: "Child") -> None:
        """Let a process come to its end; a run that was killed behind its last word has one.

        Raises:
            SystemExit: it failed.
        """
        try:
            child.finish()
        except SystemExit:
            if self.status(name) != "finished":
                raise

    def status(self, name: str) -> str | None:
        """What the registry says of a run; None where it has not heard of it."""
        if not self.database.exists():
            return None
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            try:
                query = "SELECT status FROM run WHERE name = ?"
                found = connection.execute(query, (name,)).fetchone()
            except sqlite3.OperationalError:
                return None  # killed before there was a table
        return None if found is None else str(found[0])

    def make_older(self) -> None:
        """Take the newest migration back, so that the next process has to do it."""
        registry = open_registry(f"sqlite:///{self.database}")
        go_back(registry, REVISIONS[-2])

    def problems(self, path: Path, *, strict: bool) -> list[str]:
        """What `a5ctl registry check` says of a registry; unless strict, a journal may be ahead."""
        database = Database(f"sqlite:///{path}")
        workspace = open_workspace(self.home)
        try:
            report = check_registry(database, path, workspace)
        finally:
            database.close()
        fine = () if strict else (FindingKind.JOURNAL, FindingKind.VERSION)
        return [found.sentence for found in report.findings if found.kind not in fine]

    def outcome(self, name: str) -> dict[str, Any]:
        """Status, curves, responses and weights of a run."""
        registry = open_registry(f"sqlite:///{self.database}")
        try:
            run = registry.find_run(name)
            curves = {
                metric: [(point.step, point.value) for point in points]
                for metric, points in registry.metrics(run.uuid).items()
                if metric not in _TIMINGS
            }
            responses = sorted(
                (found.step, [response.text for response in registry.responses(found.uuid)])
                for found in registry.evaluations([run.uuid])
            )
            newest = max((self.home / "runs" / run.id / "checkpoints").glob("step-*"))
            weights = hashlib.sha256((newest / "model.safetensors").read_bytes()).hexdigest()
            return {
                "status": run.status,
                "curves": curves,
                "responses": responses,
                "weights": weights,
            }
        finally:
            registry.close()


@dataclasses.dataclass(slots=True)
class Child:
    """A process at work on a run."""

    pid: int
    log: Path
    code: int | None = None

    def ended(self) -> bool:
        """Whether it is over by itself."""
        if self.code is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def kill(self) -> bool:
        """Kill it; False when it was over."""
        if self.ended():
            return False
        os.kill(self.pid, signal.SIGKILL)
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code == -signal.SIGKILL

    def finish(self) -> None:
        """Let it come to its end.

        Raises:
            SystemExit: it failed.
        """
        deadline = time.monotonic() + _DEADLINE_S
        while not self.ended():
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.01)
        if self.code:
            raise SystemExit(f"a run failed ({self.code}): {self.log.read_text(errors='replace')}")
