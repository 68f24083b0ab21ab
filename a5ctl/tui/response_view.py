"""One response, whole: question, truth, the verdict of each grader, and the text."""

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from a5ctl.console import plain
from a5ctl.tables.responses import brief, tagged_text
from a5ctl.tui.house import Plain
from a5ctl.tui.looks import styled
from core.registry.records import StoredGrade, StoredResponse
from core.responses.names import GraderName, telling_flags

_LONGEST = 60_000
_LONGEST_QUESTION = 4_000


class ResponseView(VerticalScroll, can_focus=True):
    """Shows one response; a long one is scrolled."""

    def compose(self) -> ComposeResult:
        """The facts and the text."""
        yield Plain(id="question")
        yield Plain(id="text")
        yield Static(id="verdicts", markup=False)

    def show(
        self,
        response: StoredResponse | None,
        words: str = "",
        title: str = "",
        *,
        asked: bool = True,
    ) -> None:
        """Show a response, with the words of a search in it marked.

        Args:
            response: What to show; nothing when None.
            words: The words.
            title: Before the problem.
            asked: With the question; another view beside this one may have it.
        """
        if response is None:
            self.query_one("#question", Plain).say("")
            self.query_one("#verdicts", Static).update("")
            self.query_one("#text", Plain).say("")
            return
        self.query_one("#question", Plain).say(_question(response, words, title, asked=asked))
        self.query_one("#verdicts", Static).update(
            Group(plain(ending(response), "dim"), _verdicts(response))
        )
        self.query_one("#text", Plain).say(response_body(response.text, words))
        self.scroll_home(animate=False)


def response_body(text: str, words: str = "") -> Text:
    """The text with coloured tags; of an endless one the beginning, and how much is missing."""
    shown = tagged_text(text[:_LONGEST]) if text else Text("(empty)", "dim")
    if len(text) > _LONGEST:
        rest = f" [... {len(text) - _LONGEST:,} more characters; a5ctl export responses has them]"
        shown.append(rest, "dim italic")
    if words:
        shown.highlight_words([words], "reverse", case_sensitive=False)
    return shown


def ending(response: StoredResponse) -> str:
    """How it ended, and how long its parts are."""
    parts = [f"ended by {response.finish}", f"{response.tokens:,} tokens"]
    if response.think_tokens is not None:
        parts.append(f"think {response.think_tokens:,}")
    if response.answer_position is not None:
        parts.append(f"<answer> at {response.answer_position:,}")
    right = any(grade.right for grade in response.grades.values())
    parts += sorted(telling_flags(response.flags, right=right))  # type: ignore[arg-type]
    return ", ".join(parts)


def _question(response: StoredResponse, words: str, title: str, *, asked: bool) -> Text:
    sample = f"  sample {response.sample}" if response.sample else ""
    text = styled((title + response.problem_id, "bold"), (sample, "bold"), ("  truth ", "dim"))
    text.append_text(brief(response.truth, style="bold"))
    question = plain(f"\n{response.question[:_LONGEST_QUESTION]}" if asked else "")
    if words:
        question.highlight_words([words], "reverse", case_sensitive=False)
    text.append_text(question).append("\n")
    for name, grade in _in_order(response):
        sign, look = ("✓", "") if grade.right else ("✗", "dim")
        text.append_text(styled((f"{sign} ", "bold"), (f"{name}  ", look)))
    return text


def _in_order(response: StoredResponse) -> list[tuple[str, StoredGrade]]:
    """Graders in their own order, with what they say."""
    return [(name, response.grades[name]) for name in GraderName if name in response.grades]


def _verdicts(response: StoredResponse) -> Table:
    """A row for each grader, in their own order."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, grade in _in_order(response):
        sign = Text("✓ right", "bold") if grade.right else Text("✗ wrong")
        read = Text("nothing", "dim") if grade.extracted is None else brief(grade.extracted, 40)
        table.add_row(sign, plain(name), read, plain(grade.failure or "", "dim"))
    return table
