"""Cells as processes of this machine, each with GPUs of its own."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from a5ctl.plans.executor import CellCommand, Ended
from core.config.schema import RunKind
from core.errors import UserError
from core.plans.cells import Cell
from core.plans.folder import PlanFolder, plan_folder
from core.plans.plan import Plan
from core.workspace import Workspace

_PAUSE_S = 0.1
_TAIL_BYTES = 2000


@dataclass
class _Attempt:
    cell: Cell
    process: subprocess.Popen[bytes]
    log: Path
    devices: list[str]


@dataclass
class LocalExecutor:
    """Runs up to `jobs` cells at a time.

    A cell's process is in a session of its own: Ctrl-C reaches it through `stop` alone, once, and
    it goes on where this process is killed.

    Attributes:
        command: How a cell is started.
        folder: Where logs go.
        jobs: Cells at a time.
        gpus: The GPUs to share out, as `CUDA_VISIBLE_DEVICES` names them; empty without any.
        each: GPUs that a cell takes at most.
        take_over: Cells take runs over that went silent on other machines.
    """

    command: CellCommand
    folder: PlanFolder
    jobs: int
    gpus: list[str]
    each: int = 1
    take_over: bool = False
    _busy: set[str] = field(default_factory=set)
    _attempts: dict[str, _Attempt] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """Free places, each with its GPUs where there are some."""
        places = self.jobs - len(self._attempts) - len(self._busy)
        if self.gpus:
            places = min(places, len(self._free()) // self.each)
        return max(0, places)

    def submit(self, cell: Cell, until: int | None = None) -> None:
        """Start a process for the cell.

        Raises:
            UserError: it cannot be started.
            OSError: its log cannot be written.
        """
        devices = self._devices(cell)
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self.folder.devices(cell.id).write_text(",".join(devices))
        path = self.folder.log(cell.id)
        with path.open("ab") as log:
            process = self._start(cell, until, devices, log)
        self._attempts[cell.id] = _Attempt(cell, process, path, devices)

    def poll(self, seconds: float) -> list[Ended]:
        """Processes that have ended; waits so long for one."""
        deadline = time.monotonic() + seconds
        while True:
            ended = [a for a in self._attempts.values() if a.process.poll() is not None]
            if ended or time.monotonic() >= deadline:
                break
            time.sleep(min(_PAUSE_S, max(0.0, deadline - time.monotonic())))
        for attempt in ended:
            del self._attempts[attempt.cell.id]
            self.folder.devices(attempt.cell.id).unlink(missing_ok=True)
        return [Ended(a.cell.id, a.process.returncode, last_line(a.log), a.log) for a in ended]

    def stop(self, signum: int) -> None:
        """Send the signal to every process."""
        for attempt in self._attempts.values():
            if sys.platform == "win32":
                attempt.process.terminate()  # it knows no other signal
            else:
                attempt.process.send_signal(signum)

    def note_busy(self, cell_ids: set[str]) -> None:
        """Leave room, and GPUs, for cells that a killed `plan run` left at work."""
        self._busy = cell_ids

    def adopt(self) -> dict[str, Cell]:
        """Processes of a killed `plan run` are no children of this one: none."""
        return {}

    def detach(self) -> bool:
        """Ctrl-C is meant for the cells."""
        return False

    def close(self) -> None:
        """Nothing is held but processes, which go on."""
        self._attempts.clear()

    def _start(
        self, cell: Cell, until: int | None, devices: list[str], log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        line = self.command.line(cell.id, until, take_over=self.take_over)
        try:
            return subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(devices),
                start_new_session=True,
            )
        except OSError as error:
            raise UserError(f"cell {cell.id} cannot be started: {error}") from error

    def _environment(self, devices: list[str]) -> dict[str, str]:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
        return environment

    def _devices(self, cell: Cell) -> list[str]:
        """GPUs that nobody has; none for a cell that works on the CPU."""
        return self._free()[: wanted_gpus(cell)]

    def _free(self) -> list[str]:
        taken = {gpu for attempt in self._attempts.values() for gpu in attempt.devices}
        for cell_id in self._busy:
            taken |= set(_read(self.folder.devices(cell_id)).split(","))
        return [gpu for gpu in self.gpus if gpu not in taken]


def wanted_gpus(cell: Cell) -> int:
    """GPUs that a cell takes where there are some."""
    config = cell.config
    if config.model.device == "cpu":
        return 0
    return 1 if config.kind is RunKind.EVAL else config.train.gpus


def local_executor(
    plan: Plan, workspace: Workspace, registry: str | None, jobs: int | None, *, take_over: bool
) -> LocalExecutor:
    """Processes for the cells of a plan: as many at a time as there are GPUs for, or one.

    Args:
        plan: The plan.
        workspace: Where its runs go.
        registry: Value of `--registry`.
        jobs: Cells at a time, where that was asked for.
        take_over: Cells take runs over that went silent on other machines.

    Raises:
        UserError: a cell wants more GPUs than there are, or all of them together do.
    """
    gpus = visible_gpus()
    each = max((wanted_gpus(cell) for cell in plan.by_id.values()), default=1)
    if gpus and each > len(gpus):
        raise UserError(
            f"a cell of plan {plan.name} wants {each} GPUs, and this machine shows {len(gpus)}; "
            "set train.gpus lower"
        )
    most = len(gpus) // each if gpus and each else None
    if most is not None and jobs is not None and jobs > most:
        raise UserError(
            f"--jobs {jobs} is too many: every cell gets {each} of the {len(gpus)} GPUs for its "
            f"own; give at most {most}"
        )
    command = CellCommand(plan.path, workspace.root, registry)
    folder = plan_folder(workspace, plan.name)
    jobs = jobs or most or 1
    return LocalExecutor(command, folder, jobs, gpus if each else [], max(1, each), take_over)


def visible_gpus() -> list[str]:
    """The GPUs to share out: the entries of `CUDA_VISIBLE_DEVICES` as they are, or all there are.

    Batch systems name GPUs by UUID; the names are handed on untouched.
    """
    from core.engines.devices import gpu_uuids

    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    if value is not None:
        return [entry.strip() for entry in value.split(",") if entry.strip() not in ("", "-1")]
    return [str(index) for index in range(len(gpu_uuids()))]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def last_line(log: Path) -> str:
    """The last thing that a log says; empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
