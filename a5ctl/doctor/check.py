"""One finding of `a5ctl doctor`, and what it means for a run."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """What a check means for a run."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Attributes:
        group: Heading it stands under.
        name: What was looked at.
        status: Whether a run would work.
        value: What was found.
        fix: What to do about it, a command where one does; empty when there is nothing to do.
        mendable: `a5ctl doctor --fix` does it.
    """

    group: str
    name: str
    status: Status
    value: str
    fix: str = ""
    mendable: bool = False
