"""Everything the registry knows about one run, for people."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import compact, duration, interval, moment, percent, sparkline
from a5ctl.tables.fit import FitColumn, FittedTable, fitted_table
from a5ctl.tables.lineage import started_from
from a5ctl.tables.lineage_view import lineage_table
from a5ctl.tables.run_report import RunReport
from a5ctl.tables.runs import run_seconds, status_text
from core.config.flat import flatten

_SPARK_CELLS = 24
_EVENTS_SHOWN = 15
_SEVERITY_STYLES = {"info": "", "warning": "yellow", "error": "bold red"}


def render_run(report: RunReport, console: Console) -> None:
    """Print a run, section by section; empty sections are left out."""
    console.print(_head(report))
    sections: list[tuple[str, RenderableType | None]] = [
        ("Lineage", None if report.lineage.alone else lineage_table(report.lineage, console)),
        ("Evaluations", _evaluations(report, console)),
        ("Metrics", _metrics(report)),
        ("Configuration", _configuration(report.run.config)),
        ("Provenance", _provenance(report.provenance)),
        ("Events", _events(report)),
        ("Artifacts", _artifacts(report)),
        ("Traceback", plain(report.traceback) if report.traceback else None),
        ("Next", _next(report)),
    ]
    for title, body in sections:
        if body is not None:
            console.print()
            console.print(Text(title, style="bold underline"))
            console.print(body)


def _head(report: RunReport) -> Table:
    run = report.run
    pairs = [
        ("run", plain(run.id, "bold")),
        ("status", _status(report)),
        ("name", plain(run.name or "")),
        ("group", plain(run.group or "")),
        ("model", plain(run.model)),
        ("data", plain(f"{run.data}, size {run.size}, seed {run.seed}")),
        ("created", plain(moment(run.created))),
        ("took", plain(duration(run_seconds(run)))),
        ("process", plain(f"{run.pid} on {run.host}" if run.pid else "")),
        ("from run", _from_run(report)),
        ("led to", plain(", ".join(report.children))),
        ("tags", plain(", ".join(run.tags))),
        ("note", plain(run.note)),
        ("folder", plain(str(report.folder))),
    ]
    return _grid((name, value) for name, value in pairs if value.plain)


def _from_run(report: RunReport) -> Text:
    text = plain(", ".join(part for part in (report.parent, started_from(report.run)) if part))
    if report.run.selected_on_test:
        text.append_text(plain(", selected on test", "yellow"))
    return text


def _status(report: RunReport) -> Text:
    text = status_text(report.status)
    reason = report.run.exit_reason
    return text.append_text(plain(f": {reason}")) if reason else text


def _evaluations(report: RunReport, console: Console) -> FittedTable | None:
    found = report.evaluations
    if not found:
        return None

    def column(
        header: str, cells: Iterable[str], importance: int, *, right: bool = True
    ) -> FitColumn:
        return FitColumn(header, [plain(cell) for cell in cells], importance, right=right)

    columns = [
        column("step", (str(e.step) for e in found), 99),
        column("split", (e.split for e in found), 60, right=False),
        column("n", (str(e.n) for e in found), 70),
        column("grader", (e.grader for e in found), 65, right=False),
        column("accuracy", (percent(e.accuracy) for e in found), 98),
        column("95%", (interval(e.interval) for e in found), 90, right=False),
        column("lenient", (percent(e.accuracy_by_grader.get("lenient")) for e in found), 50),
        column("type1/2/3", (f"{e.type1}/{e.type2}/{e.type3}" for e in found), 85),
        column("unclosed", (str(e.unclosed) for e in found), 80),
        column("unparseable", (str(e.unparseable) for e in found), 75),
        column("capped", (str(e.truncated) for e in found), 55),
        column("tokens", (f"{e.lengths['response']['mean']:.0f}" for e in found), 40),
        column("took", (duration(e.seconds) for e in found), 30),
    ]
    return fitted_table(columns, console)


def _metrics(report: RunReport) -> Table | None:
    if not report.summaries:
        return None
    table = _table("metric", "last", "step", "lowest", "highest", "course")
    for name, summary in sorted(report.summaries.items()):
        points = report.curves.get(name, [])
        values = [point.value for point in points if point.value is not None]
        table.add_row(
            plain(name),
            plain(_figure(summary.last), "" if math.isfinite(summary.last) else "bold red"),
            plain(str(summary.last_step)),
            plain(_figure(summary.lowest)),
            plain(_figure(summary.highest)),
            Text(sparkline(values, _SPARK_CELLS), style="cyan"),
        )
    return table


def _configuration(config: Mapping[str, Any]) -> Table:
    """One block per section; single settings come first."""
    single = {key: value for key, value in config.items() if not isinstance(value, Mapping)}
    sections = {key: value for key, value in config.items() if isinstance(value, Mapping)}
    rows = [("", single), *sections.items()]
    return _grid(
        (title if first else "", plain(f"{key} = {json.dumps(value, ensure_ascii=False)}"))
        for title, section in rows
        for first, (key, value) in _marked(flatten(section).items())
    )


def _marked(items: Iterable[Any]) -> Iterable[tuple[bool, Any]]:
    for index, item in enumerate(items):
        yield index == 0, item


def _provenance(provenance: Mapping[str, Any]) -> Table | None:
    if not provenance:
        return None
    rows = []
    for key, value in flatten(provenance).items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines = text.count("\n")
        rows.append((key, plain(f"{lines} lines; see --json" if lines else text)))
    return _grid(rows)


def _events(report: RunReport) -> Table | None:
    if not report.events:
        return None
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    hidden = len(report.events) - _EVENTS_SHOWN
    shown = report.events[-_EVENTS_SHOWN:]
    if hidden > 0:
        table.add_row("", "", plain(f"{hidden} earlier ones; see --json", "dim"))
    for event in shown:
        where = "" if event.step is None else f"step {event.step}"
        style = _SEVERITY_STYLES.get(event.severity, "")
        table.add_row(plain(event.severity, style), plain(where, "dim"), plain(event.message))
    return table


def _artifacts(report: RunReport) -> Table | None:
    if not report.artifacts:
        return None
    table = _table("kind", "path", "bytes", "sha256", "")
    for artifact in report.artifacts:
        there = (report.folder / artifact.path).exists()
        table.add_row(
            plain(artifact.kind),
            plain(artifact.path),
            plain(compact(artifact.bytes)),
            plain(artifact.sha256[:12], "dim"),
            plain("" if there else "deleted since", "dim"),
        )
    return table


def _next(report: RunReport) -> Table:
    return _grid((command, plain(purpose, "dim")) for command, purpose in report.next_commands)


def _grid(rows: Iterable[tuple[str, Text]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(plain(name), value)
    return table


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    left = ("metric", "course", "kind", "path", "sha256", "")
    for header in headers:
        table.add_column(header, justify="left" if header in left else "right", overflow="fold")
    return table


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    if not math.isfinite(value) or value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:.4g}"
    return f"{value:.3g}"
