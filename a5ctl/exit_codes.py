"""What the program's exit codes mean; docs/cli.md lists them from here."""

from enum import IntEnum

from core.plans.codes import CellExit


class ExitCode(IntEnum):
    """One exit code; `meaning` says when it comes."""

    DONE = CellExit.FINISHED
    FAILED = CellExit.FAILED
    BAD_INPUT = CellExit.BAD_INPUT
    NO_START = CellExit.NO_START
    HELD = CellExit.HELD
    INTERRUPTED = CellExit.INTERRUPTED
    TERMINATED = CellExit.TERMINATED

    @property
    def meaning(self) -> str:
        """A sentence without its full stop."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.DONE: "done; what was asked for is printed, written or recorded",
    ExitCode.FAILED: "something failed or differs: a run failed, `doctor` or `registry check` "
    "found something wrong, `protocol diff` or `reproduce` found a difference, some sources of "
    "`import` could not be read, `registry repair` or `registry copy` left things as they were",
    ExitCode.BAD_INPUT: "bad input, a place that cannot be read or written, or a full disk; one "
    "sentence on standard error says what is wrong and what to do, and nothing half-written is "
    "left",
    ExitCode.NO_START: "`plan cell`: the cell that it starts from is not finished; try again "
    "afterwards",
    ExitCode.HELD: "`plan cell`, `plan run`: others have the cell, or the rest of the plan",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C (SIGINT); a run that was stopped goes on with "
    "`a5ctl resume`",
    ExitCode.TERMINATED: "stopped by SIGTERM, as batch systems do; the same holds",
}
