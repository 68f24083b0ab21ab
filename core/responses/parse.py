"""What is in a response: where its tags and numbers stand. No judgement is made here.

Tags are looked for at once, everything else when it is first asked for.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from core.responses.numerals import Numeral, find_numerals, numerals_from_the_end

Span = tuple[int, int]
"""Character offsets, start inclusive, end exclusive."""

_TAG = re.compile(r"</?(?:think|answer)>")
_JUST_CUT = re.compile(r"[.,/]?\Z")


@dataclass(frozen=True)
class ParsedResponse:
    """A response with the spans of everything that graders and tables ask about.

    Attributes:
        text: The response as it was given.
        think_opens: Spans of every `<think>`.
        think_closes: Spans of every `</think>`.
        answer_opens: Spans of every `<answer>`.
        answer_closes: Spans of every `</answer>`.
    """

    text: str
    think_opens: tuple[Span, ...]
    think_closes: tuple[Span, ...]
    answer_opens: tuple[Span, ...]
    answer_closes: tuple[Span, ...]

    @cached_property
    def numbers(self) -> tuple[Numeral, ...]:
        """Every numeral of the text, left to right."""
        return find_numerals(self.text)

    @property
    def think_end(self) -> int | None:
        """Offset of the first `</think>`; None when there is none."""
        return self.think_closes[0][0] if self.think_closes else None

    @property
    def answer_start(self) -> int | None:
        """Offset of the last `<answer>`; None when there is none."""
        return self.answer_opens[-1][0] if self.answer_opens else None

    @cached_property
    def answer_close(self) -> Span | None:
        """The first `</answer>` after the last `<answer>`; None when that one is not closed."""
        if not self.answer_opens:
            return None
        opened = self.answer_opens[-1][1]
        return next((span for span in self.answer_closes if span[0] >= opened), None)

    @property
    def closed(self) -> bool:
        """A `</answer>` follows the last `<answer>`."""
        return self.answer_close is not None

    @cached_property
    def answer_text(self) -> str | None:
        """What the last `<answer>` holds, up to its close or the end; None without `<answer>`."""
        if not self.answer_opens:
            return None
        close = self.answer_close
        return self.text[self.answer_opens[-1][1] : close[0] if close else None]

    @property
    def trailing_text(self) -> str:
        """What follows the close of the last answer; empty when it is not closed."""
        close = self.answer_close
        return self.text[close[1] :] if close else ""

    @property
    def reasoning(self) -> str:
        """What stands before the first `</think>`, or the whole text when there is none."""
        return self.text[: self.think_end]

    @property
    def last_number(self) -> Numeral | None:
        """The last numeral of the whole text."""
        return next(numerals_from_the_end(self.text), None)

    def last_whole_number(self, *, capped: bool) -> Numeral | None:
        """The last numeral that was written to its end.

        Args:
            capped: The text was cut by the length cap, so that a numeral at its very end may
                lack digits and does not count.
        """
        from_the_end = numerals_from_the_end(self.text)
        last = next(from_the_end, None)
        if last is None or not capped or _JUST_CUT.match(self.text, last.end) is None:
            return last
        return next(from_the_end, None)


def parse_response(text: str) -> ParsedResponse:
    """Find the tags of a response in one pass; any text is accepted."""
    spans: dict[str, list[Span]] = {}
    for match in _TAG.finditer(text):
        spans.setdefault(match.group(), []).append(match.span())
    return ParsedResponse(
        text=text,
        think_opens=tuple(spans.get("<think>", ())),
        think_closes=tuple(spans.get("</think>", ())),
        answer_opens=tuple(spans.get("<answer>", ())),
        answer_closes=tuple(spans.get("</answer>", ())),
    )
