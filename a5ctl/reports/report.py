"""Everything that a report holds, ready to be laid out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from a5ctl.reports.content import (
    Code,
    Fact,
    Protocol,
    Question,
    Remark,
    RunRecordSheet,
    Table,
    Verdicts,
)
from a5ctl.reports.curves import LegendEntry
from a5ctl.reports.drawing import Chart
from a5ctl.reports.excerpts import Example
from a5ctl.reports.mix import RunMix


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
    legend: tuple[LegendEntry, ...]
    charts: tuple[Chart, ...]
    mix_overview: Table | None
    mixes: tuple[RunMix, ...]
    mix_remarks: tuple[Remark, ...]
    examples: tuple[Example, ...]
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
