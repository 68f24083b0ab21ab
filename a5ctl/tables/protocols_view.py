"""Protocols on the screen: one with all its fields, or two side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import count
from a5ctl.tables.protocols import Effect, FieldDifference, ProtocolDiff, groups, prompt_diff
from core.protocol import BLOCKING_FIELDS, GRADING_FIELDS, fingerprints
from core.protocol_file import RecordedProtocol

_NAME_WIDTH = 15  # with a value of 64 hex digits, a line of 80 characters
_STYLES = {Effect.FORBIDS: "bold red", Effect.WARNS: "yellow", Effect.NAME: "dim"}
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def print_protocol(
    console: Console, protocol: RecordedProtocol, steps: Sequence[int], others: Sequence[str]
) -> None:
    """Print every field.

    Args:
        console: Where to.
        protocol: What to show.
        steps: Steps of the run's evaluations under this protocol; empty for a file.
        others: Protocols of the run's other evaluations, as `RUN:STEP`.
    """
    generation, grading = fingerprints(protocol.fields)
    console.print(Text("protocol of ").append_text(plain(protocol.label, style="bold")))
    _heading(console, "generation", generation)
    for group, names in groups(protocol).items():
        console.print(_fields(protocol.fields, names, group))
        if group == "prompt":
            console.print(_prompt(str(protocol.fields.get("prompt_text") or "(empty)")))
    _heading(console, "grading", grading)
    console.print(_fields(protocol.fields, GRADING_FIELDS, ""))
    console.print()
    for note in _notes(protocol, steps, others):
        console.print(plain(note, style="dim"))


def print_diff(console: Console, diff: ProtocolDiff) -> None:
    """Print the fields that differ, those that forbid a paired test first."""
    console.print(_sides(diff))
    console.print()
    if not diff.differences:
        console.print("no field differs", style="green")
    for effect in Effect:
        chosen = [d for d in diff.differences if d.effect is effect]
        if chosen:
            console.print(Text(effect, style=_STYLES[effect]))
            console.print(_table([d for d in chosen if d.field != "prompt_text"]))
            for difference in chosen:
                if difference.field == "prompt_text":
                    _print_prompt_diff(console, difference)
    if diff.unknown:
        note = f"recorded on neither side, so they may differ: {', '.join(diff.unknown)}"
        console.print(plain(note, style="yellow"))
    console.print(plain(_verdict(diff), style="dim"))


def _heading(console: Console, title: str, fingerprint: str) -> None:
    console.print()
    console.print(Text(title, style="bold underline").append(f"  {fingerprint}", style="not bold"))


def _fields(fields: Mapping[str, Any], names: Sequence[str], group: str) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=_NAME_WIDTH, no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    for name in names:
        table.add_row(_marked(name), plain(shown(name, fields.get(name))))
    if group == "prompt" and "prompt_text" in fields:
        table.add_row(_marked("prompt_text"), "")
    return table


def _marked(name: str) -> Text:
    return plain(f"{'*' if name in BLOCKING_FIELDS else ' '}{name}")


def _prompt(text: str) -> Padding:
    """The template with a bar before each line, so that its line ends and margins are seen."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=1, style="dim")
    table.add_column(overflow="fold")
    for line in text.split("\n"):
        table.add_row("|", plain(line))
    return Padding(table, (0, 0, 0, 4))


def shown(name: str, value: Any) -> str:
    """A value as one line."""
    if value is None:
        return "not recorded"
    if name == "temperature" and value == 0:
        return "0 (greedy)"
    if name == "stop":
        return ", ".join(map(repr, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _notes(protocol: RecordedProtocol, steps: Sequence[int], others: Sequence[str]) -> list[str]:
    source = protocol.source
    notes = ["* has to be the same for a paired test"]
    if source.problems is not None:
        where = "" if source.data is None else f" from {source.data}"
        limit = "" if source.limit is None else f", the first {count(source.limit)} of the split"
        what = "problem" if source.problems == 1 else "problems"
        notes.append(f"asks {count(source.problems)} {what}{where}{limit}")
    if len(steps) > 1:
        listed = ", ".join(map(str, steps)) if len(steps) <= 8 else f"{steps[0]} to {steps[-1]}"
        notes.append(f"{len(steps)} evaluations of the run were made so: steps {listed}")
    if others:
        notes.append(f"other evaluations of the run differ: a5ctl protocol show {others[0]}")
    if any(value is None for value in protocol.fields.values()):
        return [*notes, "not every field was recorded, so no other run can be evaluated so"]
    name = protocol.label if source.run is None else f"{source.run}:{source.step}"
    return [*notes, f"evaluate another run so: a5ctl run eval --run OTHER --protocol {name}"]


def _sides(diff: ProtocolDiff) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True, style="dim")
    for side, protocol in (("A", diff.a), ("B", diff.b)):
        generation, grading = fingerprints(protocol.fields)
        table.add_row(side, plain(protocol.label), generation, grading)
    return table


def _table(differences: Sequence[FieldDifference]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=2)
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for one in differences:
        a, b = (plain(_short(shown(one.field, value), one.field)) for value in (one.a, one.b))
        table.add_row("", plain(one.field), a, b)
    return table


def _short(value: str, name: str) -> str:
    """A hash is told from another by its beginning."""
    return f"{value[:16]}..." if name == "data_hash" and len(value) > 16 else value


def _print_prompt_diff(console: Console, difference: FieldDifference) -> None:
    console.print(Text("    prompt_text", style="cyan"))
    for line in prompt_diff(str(difference.a or ""), str(difference.b or ""), ("A", "B")):
        style = "" if line.startswith(("---", "+++")) else _DIFF_STYLES.get(line[:1], "")
        console.print(Padding(plain(line, style=style), (0, 0, 0, 5)))


def _verdict(diff: ProtocolDiff) -> str:
    if any(d.effect is Effect.FORBIDS for d in diff.differences):
        return "their accuracies answer different questions: no paired test unless --force"
    if diff.differences:
        return "a paired test may be made, with a warning"
    if diff.unknown:
        return "whether their accuracies answer the same question is not known for sure"
    return "their accuracies answer the same question"
