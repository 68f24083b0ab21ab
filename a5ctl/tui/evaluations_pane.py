"""The evaluations of a run, and why the one under the cursor is not better."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical

from a5ctl.format import count, interval, percent
from a5ctl.tui.house import HouseScreen, Plain, in_background
from a5ctl.tui.looks import DIM, PLAIN, STRONG, Cell, one_line, styled
from a5ctl.tui.row_table import Column, RowTable
from core.registry.answers import failure_counts
from core.registry.watch import run_marks

if TYPE_CHECKING:
    from core.registry.records import EvaluationRecord, RunRecord

_COLUMNS = (
    Column("step", "step", 8, 99, right=True),
    Column("accuracy", "accuracy", 9, 98, right=True),
    Column("interval", "95%", 12, 80),
    Column("type1", "type1", 6, 70, right=True),
    Column("type2", "type2", 6, 70, right=True),
    Column("type3", "type3", 6, 70, right=True),
    Column("unclosed", "unclosed", 8, 60, right=True),
    Column("unparseable", "unparseable", 11, 30, right=True),
    Column("cap", "at cap", 6, 65, right=True),
    Column("tokens", "mean tokens", 11, 40, right=True),
    Column("n", "n", 7, 50, right=True),
    Column("split", "split", 9, 45),
    Column("grader", "grader", 10, 35),
    Column("lenient", "lenient", 8, 55, right=True),
    Column("strict", "strict", 8, 54, right=True),
)
_BAR = 24


class _Rows:
    def __init__(self, evaluations: "Sequence[EvaluationRecord]") -> None:
        self._evaluations = evaluations

    def __len__(self) -> int:
        return len(self._evaluations)

    def cells(self, index: int) -> Sequence[Cell]:
        e = self._evaluations[index]
        mean = e.lengths.get("response", {}).get("mean")
        return (
            (f"{e.step}", PLAIN),
            (percent(e.accuracy), STRONG),
            (interval(e.interval), DIM),
            *((count(number), PLAIN) for number in (e.type1, e.type2, e.type3)),
            (percent(e.unclosed / e.n) if e.n else "-", PLAIN),
            (percent(e.unparseable / e.numeric) if e.numeric else "-", PLAIN),
            (percent(e.truncated / e.n) if e.n else "-", PLAIN),
            ("-" if mean is None else f"{mean:.0f}", PLAIN),
            (count(e.n), PLAIN),
            (one_line(e.split), DIM),
            (one_line(e.grader), DIM),
            (percent(e.accuracy_by_grader.get("lenient")), PLAIN),
            (percent(e.accuracy_by_grader.get("strict")), PLAIN),
        )

    def marked(self, index: int) -> bool:
        return False


class EvaluationsPane(Vertical):
    """A table of evaluations; enter shows the responses."""

    def __init__(self, run: "RunRecord") -> None:
        super().__init__()
        self._run = run
        self._evaluations: Sequence[EvaluationRecord] = ()
        self._mark: tuple[int, int] | None = None

    def compose(self) -> ComposeResult:
        """The table, and the failures of one row below it."""
        table = RowTable(_COLUMNS)
        table.nothing = "no evaluation yet"
        yield table
        yield Plain(id="mix")

    def on_mount(self) -> None:
        """Read them."""
        self.read()

    def read(self) -> None:
        """Read again, if there are new ones."""
        in_background(self, self._read, "evaluations")

    def open_responses(self) -> None:
        """Show the responses of the evaluation under the cursor."""
        screen = cast(HouseScreen, self.screen)
        if not self._evaluations:
            screen.tell("there is no evaluation yet, so there are no responses", "warning")
            return
        chosen = self._evaluations[self.query_one(RowTable).cursor]
        screen.house.open_responses(self._run, chosen)

    async def _read(self) -> None:
        screen = cast(HouseScreen, self.screen)
        registry, uuid, before = screen.desk.registry, self._run.uuid, self._mark

        def work() -> "tuple[tuple[int, int], Sequence[EvaluationRecord] | None]":
            marks = run_marks(registry.database, uuid)
            mark = (marks.evaluations[1], marks.segments)
            return mark, registry.evaluations([uuid]) if mark != before else None

        found = await screen.ask(work)
        if found is None or found[1] is None:
            return
        table = self.query_one(RowTable)
        at_end = table.cursor >= len(self._evaluations) - 1
        self._mark, self._evaluations = found[0], found[1]
        table.show(_Rows(self._evaluations), len(self._evaluations) - 1 if at_end else None)
        self._show_mix()

    @on(RowTable.Chosen)
    def _chosen(self) -> None:
        self.open_responses()

    @on(RowTable.Moved)
    def _show_mix(self) -> None:
        if self._evaluations:
            chosen = self._evaluations[self.query_one(RowTable).cursor]
            in_background(self, partial(self._read_mix, chosen), "mix", latest=True)

    async def _read_mix(self, evaluation: "EvaluationRecord") -> None:
        screen = cast(HouseScreen, self.screen)
        registry = screen.desk.registry
        found = await screen.ask(
            lambda: failure_counts(registry, [evaluation.uuid], evaluation.grader)
        )
        if found is not None:
            self.query_one("#mix", Plain).say(_mix_text(found[evaluation.uuid]))


def _mix_text(counts: dict[str | None, int]) -> Text:
    """Classes of failures, the most frequent first, each with a bar."""
    failures = {name: number for name, number in counts.items() if name is not None}
    every, wrong = sum(counts.values()), sum(failures.values())
    text = styled((f"{count(wrong)} of {count(every)} are wrong", "bold"))
    for name, number in sorted(failures.items(), key=lambda item: -item[1])[:8]:
        bar = "█" * max(1, round(_BAR * number / wrong))
        text.append(f"\n{number:>7,}  {bar:<{_BAR}}  ").append(one_line(name))
    return text
