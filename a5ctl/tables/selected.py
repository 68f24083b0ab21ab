"""Listings of chosen fields: one column per field, in the order asked for."""

import json
import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import age, counted, duration, iso, moment, percent
from a5ctl.tables.fit import FitColumn, FittedTable, choose_columns, fitted_table, line_width
from a5ctl.tables.run_report import finite
from a5ctl.tables.runs import STATUS_STYLES
from core.registry.query.fields import Field, FieldType
from core.registry.query.selection import SelectedRuns

_LEFT = (FieldType.TEXT, FieldType.TAGS, FieldType.TIME)
_ELASTIC = (FieldType.TEXT, FieldType.TAGS, FieldType.SETTING)
_LEAST_CELLS = 12


def fields_table(found: SelectedRuns, console: Console) -> FittedTable:
    """The listing for people; what does not fit goes from the right."""
    return fitted_table(_columns(found), console)


def field_notes(found: SelectedRuns, console: Console) -> list[str]:
    """What the listing does not show: fields, and runs beyond the limit."""
    columns = _columns(found)
    kept = {id(column) for column in choose_columns(columns, line_width(console))}
    gone = [column for column in columns if id(column) not in kept]
    narrow = ", ".join(column.header for column in gone if not column.empty)
    empty = ", ".join(column.header for column in gone if column.empty)
    notes = [f"hidden at this width: {narrow} (a wider terminal, or --json)"] if narrow else []
    notes += [f"no run listed has: {empty}"] if empty else []
    if found.total > len(found.uuids):
        rest = counted(found.total - len(found.uuids), "more run")
        notes.append(f"{rest} not shown; a5ctl ls --limit 0 shows all")
    return notes


def fields_json(found: SelectedRuns) -> list[dict[str, Any]]:
    """The listing for programs: one object per run, by the names asked for."""
    names = [field.name for field in found.fields]
    return [
        dict(zip(names, map(_json_value, found.fields, row), strict=True)) for row in found.rows
    ]


def _columns(found: SelectedRuns) -> list[FitColumn]:
    return [
        FitColumn(
            field.name,
            [_cell(field, row[place]) for row in found.rows],
            importance=len(found.fields) - place,
            right=_right(field, [row[place] for row in found.rows]),
            elastic=_LEAST_CELLS if field.type in _ELASTIC else None,
        )
        for place, field in enumerate(found.fields)
    ]


def _right(field: Field, values: Sequence[Any]) -> bool:
    if field.type is FieldType.SETTING:
        return all(value is None or isinstance(value, int | float) for value in values)
    return field.type not in _LEFT


def _cell(field: Field, value: Any) -> Text:
    style = STATUS_STYLES.get(str(value), "") if field.name == "status" else ""
    return plain("-" if value is None else _shown(field.type, value), style)


def _shown(kind: FieldType, value: Any) -> str:
    match kind:
        case FieldType.SHARE:
            return percent(value)
        case FieldType.TIME:
            return moment(value)[:16]
        case FieldType.DURATION:
            return duration(value) if value < 3600 else age(value)
        case FieldType.FLAG:
            return "yes" if value else "no"
        case FieldType.TAGS:
            return ", ".join(map(str, value))
        case FieldType.SETTING if not isinstance(value, str | int | float):
            return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    return _figure(value) if isinstance(value, float) else str(value)


def _figure(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    return str(int(value)) if value == int(value) and abs(value) < 1e6 else f"{value:.4g}"


def _json_value(field: Field, value: Any) -> Any:
    return iso(value) if field.type is FieldType.TIME else finite(value)
