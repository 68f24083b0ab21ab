"""What two runs do not have in common, for people: one line per difference."""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from a5ctl.console import plain
from a5ctl.tables.fit import FitColumn, fitted_table, line_width
from a5ctl.tables.run_diff import Difference, RunDiff, Section

_LONGEST_VALUE = 400
_PATCH_LINES = 60
_PATCH_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_WIDEST_TABLE = 240


def print_run_diff(diff: RunDiff, console: Console) -> None:
    """Print a comparison, section by section."""
    head = plain(diff.a.id, "bold").append(" and ").append_text(plain(diff.b.id, "bold"))
    if diff.alike:
        said = "are the same run" if diff.a.uuid == diff.b.uuid else "differ in nothing recorded"
        console.print(head.append(f" {said}"))
    for number, (section, rows) in enumerate(diff.sections.items()):
        if number:
            console.print()
        console.print(Text(section.value.capitalize(), style="bold underline"))
        console.print(_table(diff, rows, console), crop=False)
        if section is Section.PROTOCOL and any(row.blocking for row in rows):
            console.print(plain("! their accuracies do not answer the same question", "yellow"))
    if diff.patch:
        console.print()
        console.print(Text("Uncommitted changes", style="bold underline"))
        _print_patch(diff.patch, console)
    for note in diff.notes:
        console.print(plain(note, "dim"))


def _table(diff: RunDiff, rows: Sequence[Difference], console: Console) -> RenderableType:
    """Whole lines for a pipe; in a terminal long values are folded into their columns."""
    headers = ("", diff.a.id, diff.b.id)
    cells = [(plain(row.name, "dim"), plain(_shown(row.a)), plain(_shown(row.b))) for row in rows]
    if line_width(console) > _WIDEST_TABLE:
        columns = [
            FitColumn(header, [line[place] for line in cells], importance=3 - place)
            for place, header in enumerate(headers)
        ]
        return fitted_table(columns, console)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(headers[0], overflow="fold", max_width=console.width // 3)
    for header in headers[1:]:
        table.add_column(plain(header), overflow="fold", max_width=console.width // 2)
    for line in cells:
        table.add_row(*line)
    return table


def _print_patch(patch: Sequence[str], console: Console) -> None:
    for line in patch[:_PATCH_LINES]:
        console.print(plain(line, _PATCH_STYLES.get(line[:1], "")), soft_wrap=True)
    if len(patch) > _PATCH_LINES:
        console.print(plain(f"{len(patch) - _PATCH_LINES} more lines; --json has all", "dim"))


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.replace("\n", "\\n") if isinstance(value, str) else text
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "… (--json has all)"
