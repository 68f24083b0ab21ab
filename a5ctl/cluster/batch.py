"""What Slurm and PBS have in common: arrays of cells, states of elements, and how they ended."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from core.errors import UserError

if TYPE_CHECKING:
    from a5ctl.cluster.needs import Needs
    from a5ctl.cluster.script import Errand
    from a5ctl.cluster.site import Site

_PATIENCE_S = 120.0
_MOST_SHOWN = 300


class Phase(Enum):
    """Where an element of an array is."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class Ending(Enum):
    """Why an element ended, as far as the batch system knows."""

    NORMAL = "it ended by itself"
    OUT_OF_TIME = "it ran out of its time"
    NODE_LOST = "its node was lost"
    PREEMPTED = "it was preempted"
    OUT_OF_MEMORY = "it ran out of memory"
    CANCELLED = "it was cancelled"
    UNKNOWN = "the batch system does not know any more"

    @property
    def innocent(self) -> bool:
        """Nothing that speaks against another job."""
        return self in (Ending.OUT_OF_TIME, Ending.NODE_LOST, Ending.PREEMPTED, Ending.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Element:
    """What the batch system says of one element.

    Attributes:
        phase: Where it is.
        ending: Why it ended.
        node: Where it runs or ran.
        reason: Why it waits, in the words of the batch system.
    """

    phase: Phase
    ending: Ending = Ending.NORMAL
    node: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ArrayJob:
    """One array that was handed in.

    Attributes:
        name: Its name in the batch system; no other job has it.
        job_id: What the batch system calls it; None where that was never learned.
        cells: Cell ids by index.
        folder: Holds script, logs and exit codes.
    """

    name: str
    job_id: str | None
    cells: tuple[str, ...]
    folder: Path

    def exit_code(self, index: int) -> int | None:
        """What the script wrote down at its end; None where it has not come so far."""
        try:
            text = (self.folder / f"{index}.exit").read_text(encoding="ascii")
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        return int(text) if text.strip().isdecimal() else None

    def log(self, index: int) -> Path:
        """What the element printed."""
        return self.folder / f"{index}.log"


_TRANSIENT = (
    *("timed out", "did not answer", "unable to contact", "connection refused", "try again"),
    *("limit", "temporarily", "cannot connect", "communication"),
)


class BatchError(Exception):
    """The batch system could not be asked, or refused; the message says what it said."""

    @property
    def transient(self) -> bool:
        """The same may be granted a while later."""
        return any(phrase in str(self).lower() for phrase in _TRANSIENT)

    @property
    def unanswered(self) -> bool:
        """What was asked for may have been done all the same."""
        return "did not answer" in str(self)


class BatchSystem(Protocol):
    """A batch system, driven by its programs."""

    name: str

    def check(self) -> None:
        """See whether it is there.

        Raises:
            UserError: its programs are not on PATH.
        """

    def script(self, errand: "Errand", site: "Site", needs: "Needs") -> str:
        """The script of an array."""

    def submit_command(self, script: Path) -> list[str]:
        """The command that hands a script in."""

    def submit(self, script: Path, environment: Mapping[str, str]) -> str:
        """Hand an array in.

        Returns:
            Its id.

        Raises:
            BatchError: it was refused.
        """

    def find(self, name: str) -> str | None:
        """The id of the job of this name, if the batch system has or remembers one.

        Raises:
            BatchError: it cannot be asked.
        """

    def elements(self, jobs: Sequence[ArrayJob]) -> dict[tuple[str, int], Element]:
        """What it says of elements, by name of the job and index; ones it forgot are left out.

        Raises:
            BatchError: it cannot be asked.
        """

    def cancel(self, job: ArrayJob) -> None:
        """Take waiting elements out, and let running ones save themselves.

        Raises:
            BatchError: it cannot be asked.
        """


def ask(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Standard output of one of a batch system's programs.

    Raises:
        BatchError: it failed, did not answer, or is gone.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_S,
            check=False,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in between would leave a job that nobody knows of
            env=None if environment is None else dict(environment),
        )
    except subprocess.TimeoutExpired as error:
        raise BatchError(f"{command[0]} did not answer within {_PATIENCE_S:.0f} s") from error
    except OSError as error:
        raise BatchError(f"{command[0]} cannot be started: {error.strerror}") from error
    if done.returncode != 0:
        said = " ".join((done.stderr.strip() or done.stdout.strip()).split())[:_MOST_SHOWN]
        raise BatchError(f"{command[0]}: {said or f'exit code {done.returncode}'}")
    return done.stdout


def require(programs: Sequence[str], system: str) -> None:
    """Insist on programs.

    Raises:
        UserError: one is not on PATH.
    """
    import shutil

    for program in programs:
        if shutil.which(program) is None:
            raise UserError(
                f"--on {system} needs {program}, which is not on PATH; run this on a login node of "
                "the cluster, or leave --on out to run here"
            )
