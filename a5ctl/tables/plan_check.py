"""A checked plan as a table, and as plain data."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from a5ctl.console import plain
from a5ctl.format import duration
from a5ctl.plans.check import CheckedCell
from a5ctl.tables.fit import FitColumn, FittedTable, fitted_table
from a5ctl.tables.plan_cells import TITLE, plain_labels, state_text
from core.units import mib


def check_table(checked: Sequence[CheckedCell], console: Console) -> FittedTable:
    """A row for each cell."""

    def column(header: str, cells: list[str], importance: int, **options: Any) -> FitColumn:
        return FitColumn(header, [plain(cell) for cell in cells], importance, **options)

    cells = [each.found.cell for each in checked]
    columns = [
        column("cell", [cell.id for cell in cells], 99),
        column("what", [cell.title for cell in cells], 98, elastic=TITLE),
        FitColumn("state", [state_text(each.found.state) for each in checked], 90),
        column("starts from", [cell.start or "" for cell in cells], 60),
        column("updates", [_updates(each) for each in checked], 70, right=True),
        column("time", [_time(each) for each in checked], 85, right=True),
        column("memory", [_memory(each) for each in checked], 80, right=True),
        column("made already by", [_twins(each) for each in checked], 75, elastic=14),
    ]
    return fitted_table(columns, console)


def check_json(each: CheckedCell) -> dict[str, Any]:
    """One cell for programs; memory in bytes."""
    cell = each.found.cell
    return {
        "cell": cell.id,
        "title": cell.title,
        "labels": plain_labels(cell.labels),
        "start": cell.start,
        "state": each.found.state.value,
        "run": each.found.run.id if each.found.run else None,
        "updates": each.forecast.updates,
        "seconds": each.forecast.seconds,
        "seconds_from_runs": each.forecast.runs,
        "memory_measured": each.forecast.peak,
        "memory_estimated": each.memory,
        "made_by": [run.id for run in each.twins],
    }


def _updates(each: CheckedCell) -> str:
    updates = each.forecast.updates
    return "-" if updates is None else f"{updates:,}"


def _time(each: CheckedCell) -> str:
    seconds = each.forecast.seconds
    return "unknown" if seconds is None else duration(seconds)


def _memory(each: CheckedCell) -> str:
    """Measured on runs like it, else about what the architecture says."""
    if each.forecast.peak is not None:
        return mib(each.forecast.peak)
    return "-" if each.memory is None else f"~{mib(each.memory)}"


def _twins(each: CheckedCell) -> str:
    return ", ".join(run.id for run in each.twins)
