"""Single probed responses on the screen: what was stored, what was appended, what came then."""

from collections.abc import Mapping, Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import count
from a5ctl.tables.responses import brief, extracted_text, field_grid, spread
from core.probing.names import ProbeKind
from core.registry.codec import clean
from core.registry.probe_records import ProbedResponse, ProbeRecord
from core.registry.records import StoredResponse
from core.responses.names import GraderName

_STORED_CHARS = 240
_NEW_CHARS = 480
_TITLES = {ProbeKind.MAX_TOKENS: "made again", ProbeKind.CLOSE: "helped to close"}


def print_examples(
    console: Console,
    probe: ProbeRecord,
    responses: Sequence[StoredResponse],
    grader: GraderName,
    examples: int,
) -> None:
    """Print some responses that a probe made right; where it made none right, some of the others.

    Args:
        console: Where to.
        probe: With texts.
        responses: Every response of the evaluation.
        grader: Decides what is right.
        examples: How many.
    """
    right = [r for r in probe.responses if r.grades[grader].right]
    pool = right or list(probe.responses)
    shown = spread(pool, examples)
    if not shown:
        return
    what = "right ones" if right else "wrong ones"
    title = f"{_TITLES[probe.kind]}: {len(shown)} of {count(len(pool))} {what}"
    console.print(Padding(Rule(title, align="left", style="dim"), (1, 0, 0, 0)))
    stored: Mapping[tuple[str, int], StoredResponse] = {
        (r.problem_id, r.sample): r for r in responses
    }
    for found in shown:
        console.print(_view(found, stored[found.problem_id, found.sample], grader))


def _view(found: ProbedResponse, stored: StoredResponse, grader: GraderName) -> RenderableType:
    grid = field_grid()
    name = found.problem_id + (f" sample {found.sample}" if found.sample else "")
    grid.add_row("problem", plain(name, style="cyan"))
    grid.add_row("question", brief(stored.question))
    grid.add_row("truth", brief(stored.truth, style="green"))
    grid.add_row("extracted", extracted_text(found.grades[grader]))
    grid.add_row("stored", _tail(stored.text))
    if found.appended:
        grid.add_row("appended", plain(found.appended.strip(), style="magenta"))
    grid.add_row("then", _then(found, stored))
    return Padding(grid, (0, 0, 1, 2))


def _then(found: ProbedResponse, stored: StoredResponse) -> Text:
    """What is new; all of it where the response took another course."""
    text, before = clean(found.text or ""), stored.text + found.appended
    if text.startswith(before):
        return brief(text[len(before) :], _NEW_CHARS)
    other = Text("(begins otherwise) ", style="yellow")
    return other.append_text(brief(text, _NEW_CHARS))


def _tail(text: str) -> Text:
    flat = " ".join(text[-4 * _STORED_CHARS :].split())
    if not flat:
        return Text("(empty)", style="dim")
    cut = "..." if len(flat) > _STORED_CHARS or len(text) > 4 * _STORED_CHARS else ""
    return plain(cut + flat[-_STORED_CHARS:], style="dim")
