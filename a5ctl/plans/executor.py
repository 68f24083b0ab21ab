"""What carries cells out: processes here, or a cluster. The driver hands cells to one of these."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.plans.cells import Cell

# -P and this keep the folder that the person stands in from shadowing modules of the program
_CODE = (
    "import sys; root = sys.argv.pop(1); root in sys.path or sys.path.append(root); "
    "from a5ctl.__main__ import main; main()"
)


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt at a cell that is over.

    Attributes:
        code: Exit code of `a5ctl plan cell` (`core.plans.codes.CellExit`); negative where a signal
            ended it, as in `subprocess`.
        reason: The last it said, or why the executor gave it up.
        log: Where all it said stands; None where that is not here.
    """

    cell_id: str
    code: int
    reason: str = ""
    log: Path | None = None


class Executor(Protocol):
    """Attempts at cells, each one `a5ctl plan cell`.

    An executor decides nothing about cells: the driver submits what is to be done, and hears what
    ended. Cells that end with a resumable code are submitted again by the driver where that makes
    sense; an executor that repeats an attempt by itself (a batch system after its time limit) tells
    only of the last one.
    """

    @property
    def room(self) -> int:
        """How many cells may be submitted now; a queue of its own may take any number."""
        ...

    def submit(self, cell: Cell, until: int | None = None) -> None:
        """Start an attempt, or put it in a queue.

        Args:
            cell: What to carry out; it is not under way here.
            until: Only up to this update.

        Raises:
            UserError: it cannot be started here at all.
        """
        ...

    def poll(self, seconds: float) -> list[Ended]:
        """Attempts that are over, each told once; waits at most so long for the first."""
        ...

    def stop(self, signum: int) -> None:
        """Ask every attempt to stop at its next step; `poll` tells when they have."""
        ...

    def note_busy(self, cell_ids: set[str]) -> None:
        """Hear which cells of the plan processes of this machine are at work at that are not ours.

        They take room here where the work is done on this machine.
        """
        ...

    def adopt(self) -> dict[str, Cell]:
        """Cells that are under way from before this process; `poll` tells of them, too."""
        ...

    def detach(self) -> bool:
        """Whether attempts go on, as they should, where a person stops watching by Ctrl-C."""
        ...

    def close(self) -> None:
        """Give back what the executor holds; attempts still under way are left to themselves."""
        ...


@dataclass(frozen=True, slots=True)
class CellCommand:
    """How a process is told to carry a cell out.

    Attributes:
        plan: The file of the plan.
        home: Value of `--home`.
        registry: Value of `--registry`.
        python: The interpreter.
    """

    plan: Path
    home: Path | None
    registry: str | None
    python: str = sys.executable

    def line(
        self, cell_id: str, until: int | None = None, *, take_over: bool = False
    ) -> Sequence[str]:
        """The command line of one attempt."""
        return (*self.starter, *self.arguments(cell_id, until, take_over=take_over))

    @property
    def starter(self) -> Sequence[str]:
        """What starts the program as it is here."""
        return (self.python, "-P", "-c", _CODE, str(Path(__file__).parents[2]))

    def arguments(
        self, cell_id: str, until: int | None = None, *, take_over: bool = False
    ) -> list[str]:
        """What the program is told."""
        given = ["plan", "cell", str(self.plan.absolute()), cell_id, "--quiet"]
        given += [] if until is None else ["--until", str(until)]
        given += ["--take-over"] if take_over else []
        given += [] if self.home is None else ["--home", str(self.home.absolute())]
        return given + ([] if self.registry is None else ["--registry", self.registry])
