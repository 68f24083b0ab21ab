"""What accuses, and what would be if it were otherwise: on the screen and as plain data."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import count, percent, points
from core.responses.causes import MEANINGS
from core.responses.counterfactuals import Counterfactual
from core.responses.verdict import NamedCause

_HEAD = f"{'':<44}{'accuracy':>16}{'points':>16}"


def cause_lines(causes: Sequence[NamedCause]) -> Iterator[RenderableType]:
    """Each cause with what it explains, and the evidence below it."""
    for named in causes:
        found = named.found
        line = Text(str(found.cause), style="bold red")
        line.append(f"  {count(found.count)} ({percent(found.share)})", style="not bold default")
        yield line.append(f"  {MEANINGS[found.cause]}", style="not bold default")
        yield Padding(plain(found.evidence, style="dim"), (0, 0, 0, 2))


def causes_json(causes: Sequence[NamedCause]) -> list[dict[str, Any]]:
    """The causes as plain data, most important first."""
    return [
        {
            "cause": named.found.cause,
            "count": named.found.count,
            "share": named.found.share,
            "evidence": named.found.evidence,
            "command": named.command,
        }
        for named in causes
    ]


def counterfactual_lines(rows: Sequence[Counterfactual]) -> Iterator[Text]:
    """The accuracy under each assumption, and how far it is from what was measured."""
    yield Text(_HEAD, style="dim")
    base = rows[0].low
    for row in rows:
        wide = round(row.high, 3) != round(row.low, 3)
        accuracy = f"{100 * row.low:.1f} to {percent(row.high)}" if wide else percent(row.low)
        gain = points(row.low - base) + (f" to {points(row.high - base)}" if wide else "")
        gain = "" if row is rows[0] else gain
        yield Text(f"{row.text:<44}{accuracy:>16}{gain:>16}".rstrip())
    if any(row.high != row.low for row in rows):
        note = "a range: from the right numbers that are there to everything in the class"
        yield Text(note, style="dim italic")


def counterfactuals_json(rows: Sequence[Counterfactual]) -> list[dict[str, Any]]:
    """The accuracies as plain data; `low` and `high` differ where something is left open."""
    return [asdict(row) for row in rows]
