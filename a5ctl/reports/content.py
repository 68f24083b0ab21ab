"""What a report holds, ready to be laid out: text, tables, charts and responses, no markup."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from a5ctl.reports.curves import LegendEntry
    from a5ctl.reports.drawing import Chart
    from a5ctl.reports.excerpts import Example
    from a5ctl.reports.mix import RunMix


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


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page, in the order it is read.

    Attributes:
        made: When, in UTC.
        command: What makes the page again.
        anchors: Run id -> name of the place on the page that holds its record.
        selection: Which runs have curves, mixes and examples, where not all do.
        plan: The plan's file; empty where there is none.
    """

    title: str
    subject: str
    made: str
    version: str
    command: str
    facts: tuple[Fact, ...]
    question: Question
    protocols: tuple[Protocol, ...]
    protocol_differences: tuple[Table, ...]
    verdicts: Verdicts | None
    cells: Table | None
    effects: Table | None
    effect_remarks: tuple[Remark, ...]
    results: Table | None
    result_remarks: tuple[Remark, ...]
    runs: Table
    legend: tuple["LegendEntry", ...]
    charts: tuple["Chart", ...]
    mix_overview: Table | None
    mixes: tuple["RunMix", ...]
    mix_remarks: tuple[Remark, ...]
    examples: tuple["Example", ...]
    example_remarks: tuple[Remark, ...]
    events: Table | None
    event_remarks: tuple[Remark, ...]
    codes: tuple[Code, ...]
    code_differences: Table | None
    records: tuple[RunRecordSheet, ...]
    commands: tuple[tuple[str, str], ...]
    anchors: Mapping[str, str] = field(default_factory=dict)
    selection: str = ""
    plan: str = ""
