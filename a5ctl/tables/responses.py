"""Single responses on the screen: chosen evenly, shortened in the middle, tags coloured."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from a5ctl.console import plain
from core.registry.records import StoredGrade, StoredResponse
from core.responses.names import FailureFlag, GraderName, telling_flags
from core.responses.parse import parse_response

_QUESTION_CHARS = 280
_ANSWER_CHARS = 160
_RESPONSE_CHARS = 900
_RESPONSE_LINES = 16

Item = TypeVar("Item")


class Part(StrEnum):
    """What a part of a response is."""

    TEXT = ""
    THINK = "think"
    """A `<think>` or `</think>`."""
    ANSWER = "answer"
    """An `<answer>` or `</answer>`."""
    GIVEN = "given"
    """What stands behind the last `<answer>`."""
    CUT = "cut"
    """Words of ours in place of what was left out."""


_STYLES = {
    Part.TEXT: "",
    Part.THINK: "bold magenta",
    Part.ANSWER: "bold cyan",
    Part.GIVEN: "bold",
    Part.CUT: "dim italic",
}


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of the items, evenly spread over them and the same every time."""
    chosen = min(count, len(items))
    return [items[(2 * index + 1) * len(items) // (2 * chosen)] for index in range(chosen)]


def response_view(
    response: StoredResponse, grade: StoredGrade, title: str | None = None
) -> RenderableType:
    """One response with its question and truth."""
    return Group(problem_lines(response), answer_view(response, grade, title))


def problem_lines(response: StoredResponse) -> RenderableType:
    """Id, question and truth of the problem that a response answers."""
    grid = field_grid()
    name = response.problem_id + (f" sample {response.sample}" if response.sample else "")
    grid.add_row("problem", plain(name, style="cyan"))
    grid.add_row("question", brief(response.question, _QUESTION_CHARS))
    grid.add_row("truth", brief(response.truth, style="green"))
    return Padding(grid, (0, 0, 0, 2))


def answer_view(
    response: StoredResponse, grade: StoredGrade, title: str | None = None
) -> RenderableType:
    """What was answered: extracted answer, how it ended, and the text."""
    grid = field_grid()
    if title is not None:
        grid.add_row("run", plain(title, style="bold"))
    grid.add_row("extracted", _extracted(response, grade))
    grid.add_row("ended", _ending(response, grade))
    grid.add_row("response", response_text(response.text))
    return Padding(grid, (0, 0, 1, 2))


def extracted_text(grade: StoredGrade, limit: int = _ANSWER_CHARS) -> Text:
    """What a grader compared with the truth, coloured by its verdict."""
    if grade.extracted is None:
        return Text("nothing", style="dim")
    return brief(grade.extracted, limit, style="green" if grade.right else "red")


def response_text(text: str) -> Text:
    """A response with its tags coloured; a long one loses its middle, and says how much."""
    shown = Text()
    for part, kind in response_parts(text, _RESPONSE_CHARS, _RESPONSE_LINES):
        shown.append_text(plain(part, style=_STYLES[kind]))
    return shown if text else Text("(empty)", style="dim")


def response_parts(text: str, chars: int, lines: int) -> Iterator[tuple[str, Part]]:
    """A response in parts; of a long one the middle is left out.

    Args:
        text: The response, as hostile as it is.
        chars: At most about so many characters.
        lines: At most so many lines.
    """
    head, tail = shortened(text, chars, lines)
    for start, end, kind in _pieces(text):
        if start < head:
            yield text[start : min(end, head)], kind
        if start < head <= end and head < tail:
            yield f" [... {tail - head:,} characters left out ...] ", Part.CUT
        if end > tail:
            yield text[max(start, tail) : end], kind


def tagged_text(text: str) -> Text:
    """The whole of a response with its tags coloured."""
    shown = Text()
    for start, end, kind in _pieces(text):
        shown.append_text(plain(text[start:end], style=_STYLES[kind]))
    return shown


def shortened(text: str, chars: int, lines: int) -> tuple[int, int]:
    """Where to cut: text before the first offset and from the second on is kept.

    Equal offsets mean that nothing is cut.
    """
    breaks = [offset for offset, char in enumerate(text) if char == "\n"]
    if len(text) <= chars and len(breaks) < lines:
        return len(text), len(text)
    half = lines // 2
    head, tail = chars // 2, len(text) - chars // 2
    if len(breaks) >= half:
        head, tail = min(head, breaks[half - 1]), max(tail, breaks[-half] + 1)
    return (head, tail) if head < tail else (len(text), len(text))


def response_json(response: StoredResponse, grade: StoredGrade) -> dict[str, Any]:
    """A response as plain data, whole."""
    return {
        "problem": response.problem_id,
        "sample": response.sample,
        "question": response.question,
        "truth": response.truth,
        "extracted": grade.extracted,
        "right": grade.right,
        "failure": grade.failure,
        "finish": response.finish,
        "tokens": response.tokens,
        "think_tokens": response.think_tokens,
        "answer_position": response.answer_position,
        "flags": _flags(response, grade),
        "text": response.text,
    }


def _pieces(text: str) -> Iterator[tuple[int, int, Part]]:
    """Consecutive (start, end, kind) that cover the text."""
    parsed = parse_response(text)
    spans = [(span, Part.THINK) for span in parsed.think_opens + parsed.think_closes]
    spans += [(span, Part.ANSWER) for span in parsed.answer_opens + parsed.answer_closes]
    answer_start = parsed.answer_opens[-1][1] if parsed.answer_opens else len(text)
    answer_end = parsed.answer_close[0] if parsed.answer_close else len(text)
    at = 0
    for (start, end), kind in [*sorted(spans), ((len(text), len(text)), Part.TEXT)]:
        if start > at:
            yield at, start, Part.GIVEN if answer_start <= at < answer_end else Part.TEXT
        if end > start:
            yield start, end, kind
        at = end


def _extracted(response: StoredResponse, grade: StoredGrade) -> Text:
    """The extracted answer; where there is none, the last number that `lenient` would read."""
    shown = extracted_text(grade)
    lenient = response.grades.get(GraderName.LENIENT)
    if grade.extracted is not None or lenient is None or lenient.extracted is None:
        return shown
    return shown.append("; last number ", style="dim").append_text(extracted_text(lenient))


def _ending(response: StoredResponse, grade: StoredGrade) -> Text:
    parts = [f"{response.finish}, {response.tokens:,} tokens"]
    if response.think_tokens is not None:
        parts.append(f"think {response.think_tokens:,}")
    if response.answer_position is not None:
        parts.append(f"<answer> at {response.answer_position:,}")
    parts += _flags(response, grade)
    return plain(", ".join(parts), style="dim")


def _flags(response: StoredResponse, grade: StoredGrade) -> list[str]:
    return sorted(telling_flags(map(FailureFlag, response.flags), right=grade.right))


def brief(text: str, limit: int = _ANSWER_CHARS, style: str = "") -> Text:
    """A text on few lines: white space is one space, the middle of a long one is left out."""
    flat = " ".join(text[: 50 * limit].split())
    if not flat:
        return Text("(empty)", style="dim")
    if len(flat) > limit:
        flat = f"{flat[: limit - limit // 3]} ... {flat[-(limit // 3) :]}"
    return plain(flat, style=style)


def field_grid() -> Table:
    """Two columns: names of one width, and what they name."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", no_wrap=True, width=9)
    grid.add_column(overflow="fold")
    return grid
