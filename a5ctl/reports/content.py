"""What the parts of a report are made of: text and tables with a tone, no markup."""

from dataclasses import dataclass
from enum import StrEnum


class Tone(StrEnum):
    """How a cell or a line is meant, beside its words."""

    PLAIN = ""
    GOOD = "good"
    BAD = "bad"
    UNSURE = "unsure"
    WARNING = "warning"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    Attributes:
        run: Id of the run that the text leads to; None for no link.
        more: What is behind it, unfolded when asked for.
        unfold: What is clicked on to see it.
    """

    text: str
    tone: Tone = Tone.PLAIN
    run: str | None = None
    more: str = ""
    unfold: str = "evidence"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headers; the first column names its row.

    Attributes:
        caption: What it shows, and where its numbers come from.
        numeric: Places of columns whose values stand under each other on the right.
        wide: Places of columns that hold sentences, which may break.
    """

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: frozenset[int] = frozenset()
    wide: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence that stands by itself."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure worth a headline, with what it is."""

    name: str
    value: str
    detail: str = ""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Question:
    """What was to be found out, in the words of the people who asked.

    Attributes:
        text: The plan's note; empty where nobody wrote one.
        notes: Notes of runs, each with the ids of the runs that have it.
        labels: Names and values, such as group and tags.
    """

    text: str
    notes: tuple[tuple[str, tuple[str, ...]], ...]
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Protocol:
    """How evaluations were made.

    Attributes:
        summary: The fields that matter most, in one line.
        runs: Ids of the runs that are compared under it.
        fields: Groups of (name, value); the prompt's text apart.
    """

    generation: str
    grading: str
    summary: str
    runs: tuple[str, ...]
    fields: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    prompt: str


@dataclass(frozen=True, slots=True)
class Verdicts:
    """A judged plan: when it was written, then claim by claim."""

    remarks: tuple[Remark, ...]
    claims: tuple["Claim", ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """One criterion with what the data say about it."""

    name: str
    text: str
    verdict: str
    tone: Tone
    findings: Table


@dataclass(frozen=True, slots=True)
class Code:
    """Packages, machine and settings that several runs had in common.

    Attributes:
        fields: Groups of (name, value).
        diff: Uncommitted changes; empty where there were none.
    """

    runs: tuple[str, ...]
    fields: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    diff: str


@dataclass(frozen=True, slots=True)
class RunRecordSheet:
    """One run's identity, and how to make it again.

    Attributes:
        commands: (command, what it is for).
        config: Its settings as TOML.
        artifacts: None where the run kept none.
    """

    id: str
    status: str
    tone: Tone
    fields: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]
    config: str
    artifacts: Table | None
