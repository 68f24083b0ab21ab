"""The mix of failure classes over the steps: sparklines of one scale under each other."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import count, percent, points
from a5ctl.tables.fit import line_width
from a5ctl.tables.histograms import scaled_blocks
from a5ctl.tables.steps import ClassCourse, StepMix, Track, track_json
from core.responses.names import DESCRIPTIONS

_NAME = 23
_FIGURES = 36
_MOST_COLUMNS = 60
_LEAST_COLUMNS = 8


def print_steps(console: Console, mix: StepMix) -> None:
    """Print the mix, right responses first, then the classes in the order of their causes."""
    console.print(track_title(mix.track, "by step"))
    room = min(_MOST_COLUMNS, line_width(console) - _NAME - _FIGURES)
    chosen = evenly(len(mix.track.evaluations), max(_LEAST_COLUMNS, room))
    # the axis needs room for its first and last step, however few evaluations there are
    width = max(len(chosen), len("steps"), *(len(line) for line in _axis(mix.track, chosen, 0)))
    figures = "".join(f"{name:>9}" for name in ("first", "last", "change", "most"))
    console.print(Text(f"{'class':<{_NAME}}{'steps':<{width}}{figures}", style="dim"))
    top = max(max(row.shares, default=0.0) for row in mix.rows)
    for row in mix.rows:
        console.print(_line(row, chosen, width, top))
    for line in _axis(mix.track, chosen, width):
        console.print(Text(f"{'':<{_NAME}}{line}", style="dim"))
    for note in _notes(mix, len(chosen), top):
        console.print(Text(note, style="dim italic"))


def steps_json(mix: StepMix) -> dict[str, Any]:
    """The mix as plain data; every list has one entry per step."""
    return {
        **track_json(mix.track),
        "classes": [
            {
                "class": row.failure or "right",
                "meaning": "it is right" if row.failure is None else DESCRIPTIONS[row.failure],
                "counts": row.counts,
                "shares": row.shares,
            }
            for row in mix.rows
        ],
    }


def track_title(track: Track, view: str) -> Text:
    """Which evaluations are looked at."""
    last = track.evaluations[-1]
    title = plain(track.run.id, style="bold cyan").append(f"  {view}  ", style="bold")
    title.append_text(plain(f"{last.split} of {last.protocol.get('data_name', '?')}"))
    many = len(track.evaluations)
    steps = f"{many} evaluations, steps {track.steps[0]} to {track.steps[-1]}"
    steps = steps if many > 1 else f"one evaluation, at step {track.steps[0]}"
    return title.append(f"\nn {count(last.n)}  {steps}  under {track.grader}", style="not bold")


def evenly(many: int, most: int) -> list[int]:
    """Indices of at most `most` of so many items, evenly spread, first and last among them."""
    if many <= most:
        return list(range(many))
    return [round(index * (many - 1) / (most - 1)) for index in range(most)]


def _line(row: ClassCourse, chosen: Sequence[int], width: int, top: float) -> Text:
    name = "right" if row.failure is None else str(row.failure)
    cells = scaled_blocks([row.shares[index] for index in chosen], top)
    first, last = row.shares[0], row.shares[-1]
    style = "green" if row.failure is None else "red"
    text = Text(f"{name:<{_NAME}}", style="bold").append(f"{cells:<{width}}", f"not bold {style}")
    figures = (percent(first), percent(last), points(last - first), percent(max(row.shares)))
    return text.append("".join(f"{figure:>9}" for figure in figures), style="not bold")


def _axis(track: Track, chosen: Sequence[int], width: int) -> list[str]:
    """The first step under the first cell, the last one ending under the last."""
    first, last = str(track.steps[0]), str(track.steps[-1])
    if len(track.steps) == 1:
        return [first]
    cells = len(chosen)
    if cells >= len(first) + 1 + len(last):
        return [first + f"{last:>{cells - len(first)}}"]
    return [f"{first} to {last}"]


def _notes(mix: StepMix, shown: int, top: float) -> list[str]:
    notes = [f"one scale for all rows: a full block is {percent(top)}, a dot is none"]
    many = len(mix.track.evaluations)
    if shown < many:
        notes.append(f"{shown} of {many} evaluations are drawn; --json lists all")
    if mix.track.left_out:
        notes.append(
            f"{mix.track.left_out} evaluations under another split or protocol are left out"
        )
    return notes
