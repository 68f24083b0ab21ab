"""How `a5ctl plan cell` tells what became of a cell: the contract with whoever starts it."""

from enum import IntEnum


class CellExit(IntEnum):
    """Exit codes of one attempt at a cell."""

    FINISHED = 0
    """The cell is done: by this attempt, by an earlier one, or given up by its plan."""
    FAILED = 1
    """It ended by an error; trying again does not help by itself."""
    BAD_INPUT = 2
    """The plan, the cell or what it needs is wrong, or a disk is full."""
    NO_START = 69
    """The cell that it starts from is not finished; try again afterwards."""
    HELD = 75
    """Somebody else has it, here or on another machine; nothing was done."""
    INTERRUPTED = 130
    """Stopped by SIGINT; it goes on from its checkpoint."""
    TERMINATED = 143
    """Stopped by SIGTERM, as batch systems do; it goes on from its checkpoint."""
