"""Figures of `gpu_suite.py`: written as they come, one JSON object a line, and shown as a table."""

import json
import operator
import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

_ROWS = "A5CTL_BENCHMARK_ROWS"
_COMPARE = {">=": operator.ge, "<=": operator.le}
_WIDEST_NAME = 46
_FIGURE_WIDTH = 16
_BAR_WIDTH = 12


class Kind(StrEnum):
    """What a row says."""

    FIGURE = "figure"
    FACT = "fact"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: What was measured, or could not be.
        kind: A figure, a fact in words, or why there is neither.
        value: The figure.
        unit: Its unit; `share` is shown in percent.
        bar: What it is held against, such as `>= 0.4`; empty without one.
        note: How it came about; the reason where there is no figure.
        text: The fact.
    """

    name: str
    kind: Kind = Kind.FIGURE
    value: float | None = None
    unit: str = ""
    bar: str = ""
    note: str = ""
    text: str = ""

    @property
    def meets(self) -> bool | None:
        """Whether the figure reaches its bar; None without figure or bar."""
        if self.value is None or not self.bar:
            return None
        sign, limit = self.bar.split()
        return bool(_COMPARE[sign](self.value, float(limit)))


def report(
    name: str, value: float | None, unit: str = "", *, bar: str = "", note: str = ""
) -> None:
    """A part has a figure; None says that this machine does not give it."""
    if value is None:
        skip(name, note or "this machine does not tell")
        return
    _write(Row(name, Kind.FIGURE, value, unit, bar, note))


def say(name: str, text: str, note: str = "") -> None:
    """A part has found something that is no number."""
    _write(Row(name, Kind.FACT, note=note, text=text))


def skip(name: str, reason: str) -> None:
    """A part leaves something out."""
    _write(Row(name, Kind.SKIPPED, note=reason))


def fail(name: str, reason: str) -> None:
    """Something went wrong, and the rest goes on."""
    _write(Row(name, Kind.FAILED, note=reason))


def _write(row: Row) -> None:
    line = json.dumps(asdict(row))
    target = os.environ.get(_ROWS)
    if target is None:
        print(line, flush=True)
        return
    with Path(target).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def rows_go_to(path: Path) -> dict[str, str]:
    """The environment of a part whose rows are kept in a file."""
    return {_ROWS: str(path)}


def read_rows(path: Path) -> list[Row]:
    """Every whole line of a file of rows; a part that was killed may have left half of one."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        values = json.loads(line)
        found.append(Row(**{**values, "kind": Kind(values["kind"])}))
    return found


def table(parts: Mapping[str, Mapping[str, Any]], *, bars: bool = True, width: int = 140) -> str:
    """All parts with their rows, as text without colours.

    Args:
        parts: Part -> `title`, `state`, `seconds` and `rows`.
        bars: Say whether figures reach their bars.
        width: Columns; notes are wrapped.
    """
    lines: list[str] = []
    names = [row.name for part in parts.values() for row in part["rows"]]
    column = min(_WIDEST_NAME, max(map(len, names), default=0))
    for name, part in parts.items():
        seconds = part.get("seconds")
        spent = f", {seconds:.0f} s" if seconds is not None else ""
        lines += ["", f"{name}: {part['title']} ({part['state']}{spent})"]
        for row in part["rows"]:
            lines += _lines(row, column, width, bars)
    return "\n".join(lines[1:])


def _lines(row: Row, column: int, width: int, bars: bool) -> Sequence[str]:
    if row.kind is Kind.FIGURE:
        shown, bar = _shown(row), _bar(row, bars)
    else:
        shown, bar = row.text or str(row.kind), ""
    head = f"  {row.name:{column}}  {shown:>{_FIGURE_WIDTH}}  {bar:{_BAR_WIDTH}}  "
    if not row.note:
        return [head.rstrip()]
    room = max(24, width - len(head))
    first, *rest = textwrap.wrap(row.note, room) or [""]
    return [(head + first).rstrip(), *(" " * len(head) + line for line in rest)]


def _shown(row: Row) -> str:
    value = row.value or 0.0
    if row.unit == "share":
        return f"{100 * value:.2f}%"
    digits = 0 if abs(value) >= 1000 else 2 if abs(value) >= 1 else 4
    number = f"{value:,.{digits}f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.2e}"
    return f"{number} {row.unit}".rstrip()


def _bar(row: Row, judged: bool) -> str:
    if not row.bar:
        return ""
    sign, limit = row.bar.split()
    wanted = f"{sign} {100 * float(limit):g}%" if row.unit == "share" else row.bar
    verdict = ("ok " if row.meets else "NOT ") if judged else ""
    return f"{verdict}{wanted}"
