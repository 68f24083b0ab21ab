"""The line above the list of runs: how many there are in which state, and what is left out."""

from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import count
from a5ctl.tui.looks import STATUS_SIGNS
from a5ctl.tui.runs_model import Folded, RunsModel


def title_line(model: RunsModel, label: str, where: str | None, width: int) -> Text:
    """What the list shows, and of what."""
    text = Text("a5ctl  ", "bold")
    folded = {item.group for item in model.items if isinstance(item, Folded)}
    shown = sum(
        len(item.entries) if isinstance(item, Folded) else 1
        for item in model.items
        if isinstance(item, Folded) or item.run.group not in folded
    )
    total = sum(model.counts.values())
    text.append(f"{count(shown)} of {count(total)} runs" if shown != total else _runs(total))
    for status in STATUS_SIGNS:
        if number := model.counts.get(status, 0):
            text.append(f"  {STATUS_SIGNS[status][0]} {count(number)} {status}", "dim")
    if model.marked:
        text.append(f"  {len(model.marked)} marked", "bold")
    if model.words:
        text.append_text(plain(f"  /{model.words}", "bold"))
    if where is not None:
        text.append_text(plain(f"  where {where}", "bold"))
    if model.archived:
        text.append("  with the archive", "bold")
    room = width - text.cell_len - 4
    if room >= len(label):
        text.append(" " * (room - len(label) + 2)).append_text(plain(label, "dim"))
    text.truncate(max(10, width - 2), overflow="ellipsis")
    text.no_wrap = True
    return text


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{count(number)} runs"
