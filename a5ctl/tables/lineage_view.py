"""The line of a run as a tree that fits the terminal.

An only child stands right below its parent, so that a long chain does not drift to the right;
several children branch off.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import percent, tail
from a5ctl.tables.fit import FitColumn, FittedTable, fitted_table, line_width
from a5ctl.tables.lineage import Lineage, started_from
from a5ctl.tables.runs import STATUS_STYLES, RunLine, status_text
from core.registry.records import RunRecord

_MOST_CHILDREN = 12
_DEEPEST = 24
_HERE = " ◂"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tree.

    Attributes:
        mark: What is drawn before the name.
        name: A run's id, a model, or how many are left out.
        line: None for what is not a run of this registry.
        style: Of the name.
        status: Said where there is no run to say it.
    """

    mark: str
    name: str
    line: RunLine | None = None
    style: str = ""
    status: str = ""


def lineage_table(lineage: Lineage, console: Console) -> FittedTable:
    """The tree with kind, status, starting point, steps and accuracy of every run."""
    rows = list(tree_rows(lineage))
    lines, width = [row.line for row in rows], line_width(console)
    columns = [
        FitColumn("run", [_name(row) for row in rows], 99, elastic=max(16, width * 2 // 3)),
        FitColumn("kind", [plain(line.run.kind if line else "") for line in lines], 60),
        FitColumn("status", [_status(row) for row in rows], 80),
        FitColumn("from", [plain(_from(line)) for line in lines], 70),
        FitColumn("step", [plain(_step(line)) for line in lines], 50, right=True),
        FitColumn("accuracy", [_accuracy(line) for line in lines], 98, right=True),
        FitColumn("", [_selected(line) for line in lines], 97),
    ]
    return fitted_table(columns, console)


def tree_rows(lineage: Lineage) -> Iterator[Row]:
    """The tree from the base model down, line by line."""
    yield Row("", tail(lineage.base), style="dim")
    if lineage.gone is not None:
        yield Row("↳ ", lineage.gone, style="dim", status="gone")
    for ancestor in lineage.ancestors:
        yield Row("↳ ", ancestor.id, lineage.lines[ancestor.uuid])
    waiting = [("↳ ", "", lineage.run)]
    while waiting:
        mark, stem, run = waiting.pop()
        style = "bold" if run.uuid == lineage.run.uuid else ""
        yield Row(mark, run.id, lineage.lines[run.uuid], style)
        shown, rest = _shown(lineage, lineage.children.get(run.uuid, ()))
        if len(shown) == 1:
            waiting.append((f"{stem}↳ ", stem, shown[0]))
            continue
        if rest:
            yield Row(f"{stem}├─ ", rest, style="dim")
        branches = [(f"{stem}├─ ", f"{stem}│  ", child) for child in shown]
        if branches:
            branches[-1] = (f"{stem}└─ ", f"{stem}   ", shown[-1])
        waiting += branches[::-1]


def _shown(lineage: Lineage, own: Sequence[RunRecord]) -> tuple[list[RunRecord], str]:
    """Children to draw, oldest first, and in words what is left out: the worst without issue."""
    if len(own) <= _MOST_CHILDREN:
        return list(own), ""
    ranked = sorted(own, key=lambda run: _worth(lineage, run), reverse=True)
    kept = {run.uuid for run in ranked[:_MOST_CHILDREN]}
    kinds = Counter(run.kind for run in own if run.uuid not in kept)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return [run for run in own if run.uuid in kept], f"{kinds.total()} more ({told}): --json"


def _worth(lineage: Lineage, run: RunRecord) -> tuple[bool, bool, float, float]:
    headline = lineage.lines[run.uuid].headline
    accuracy = headline.accuracy if headline else -1.0
    return run.uuid in lineage.children, run.kind != "eval", accuracy, run.created


def _name(row: Row) -> Text:
    mark = row.mark if len(row.mark) <= _DEEPEST else f"…{row.mark[-_DEEPEST + 1 :]}"
    here = _HERE if row.style == "bold" else ""
    return plain(f"{mark}{row.name}{here}", row.style)


def _status(row: Row) -> Text:
    if row.line is None:
        return plain(row.status, STATUS_STYLES["failed"] if row.status else "")
    return status_text(row.line.status)


def _from(line: RunLine | None) -> str:
    return started_from(line.run) if line else ""


def _step(line: RunLine | None) -> str:
    return "" if line is None or line.step is None else str(line.step)


def _accuracy(line: RunLine | None) -> Text:
    if line is None:
        return Text()
    return plain(percent(line.headline.accuracy) if line.headline else "-", "bold")


def _selected(line: RunLine | None) -> Text:
    return plain("selected on test" if line and line.run.selected_on_test else "", "yellow")
