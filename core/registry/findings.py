"""What a check of the registry finds: one sentence each, with what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    """What is wrong, for programs."""

    MISSING = "missing"
    DAMAGED = "damaged"
    VERSION = "version"
    ORPHANS = "orphans"
    NO_FOLDER = "no_folder"
    NO_ROW = "no_row"
    JOURNAL = "journal"
    ARTIFACT_MISSING = "artifact_missing"
    ARTIFACT_CHANGED = "artifact_changed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: What.
        subject: The run, or the file, that it is about.
        problem: What is the matter with it.
        remedy: What to do.
    """

    kind: FindingKind
    subject: str
    problem: str
    remedy: str

    @property
    def sentence(self) -> str:
        """For people."""
        return f"{self.subject} {self.problem}; {self.remedy}"
