"""What the end of a cell's job means: the cell is over, or another job goes on with it."""

from dataclasses import dataclass

from a5ctl.cluster.batch import Element, Ending
from a5ctl.cluster.ledger import Submission
from a5ctl.plans.local import last_line
from core.plans.codes import CellExit

_HELD_PAUSE_S = 65.0


@dataclass(frozen=True, slots=True)
class Over:
    """The cell is over: an exit code as `CellExit` has it, or minus a signal, and why."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Again:
    """The cell needs another job: why, and how many seconds that should wait."""

    why: str
    pause: float = 0.0


def judge(submission: Submission, index: int, element: Element | None, memory: str) -> Over | Again:
    """Judge a job that has ended.

    Args:
        submission: The array that was handed in.
        index: Which of its elements.
        element: What the batch system last said of it; None where it was never asked.
        memory: What a job may take, in words.
    """
    code = submission.job.exit_code(index)
    ending = Ending.NORMAL if element is None else element.ending
    said = last_line(submission.job.log(index))
    if code is not None and finished(code):
        return Over(code, said)
    if submission.stopped or ending is Ending.CANCELLED:
        return Over(CellExit.TERMINATED, "its job was cancelled")
    if ending is Ending.OUT_OF_MEMORY:
        return Over(CellExit.FAILED, f"it ran out of memory ({memory}; see the site file)")
    if code in (CellExit.HELD, CellExit.NO_START):
        return Again(said, _HELD_PAUSE_S)
    if code in (CellExit.INTERRUPTED, CellExit.TERMINATED):
        return Again("it was stopped before the end of its time")
    if code is None and ending.innocent:
        return Again(ending.value)
    if code is not None and code > 128:
        return Over(128 - code, said)
    return Over(CellExit.FAILED, said or "its job ended without a word")


def finished(code: int | None) -> bool:
    """The cell itself came to its end, whatever the batch system says of the job."""
    return code in (CellExit.FINISHED, CellExit.FAILED, CellExit.BAD_INPUT)
