"""Which problems one run solves and the other does not, with both responses to each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical

from a5ctl.console import plain
from a5ctl.format import percent, points
from a5ctl.tui.columns import Column
from a5ctl.tui.house import WIDE_FROM, HouseScreen, Plain, in_background
from a5ctl.tui.looks import BAD, DIM, OK, PLAIN, Cell, one_line, styled
from a5ctl.tui.response_view import ResponseView
from a5ctl.tui.row_table import RowTable

if TYPE_CHECKING:
    from a5ctl.tables.diagnosis import Diagnosis
    from a5ctl.tables.flips import Flip, Flips
    from core.registry.records import RunRecord
    from core.registry.store import Registry
    from core.responses.names import GraderName

_COLUMNS = (
    Column("change", "change", 8, 98),
    Column("problem", "problem", 14, 99, tail=True),
    Column("cause", "cause", 10, 90),
    Column("failure", "failure", 22, 80),
    Column("before", "A says", 12, 85, elastic=True),
    Column("after", "B says", 12, 85, elastic=True),
    Column("truth", "truth", 8, 70),
)


class _Rows:
    def __init__(self, flips: "Flips") -> None:
        self._flips = [*flips.fixed, *flips.broken]
        self.fixed = len(flips.fixed)

    def __len__(self) -> int:
        return len(self._flips)

    def flip(self, index: int) -> "Flip":
        return self._flips[index]

    def cells(self, index: int) -> Sequence[Cell]:
        flip = self._flips[index]
        fixed = index < self.fixed
        return (
            ("✓ fixed", OK) if fixed else ("✗ broken", BAD),
            (one_line(flip.after.response.problem_id), PLAIN),
            (one_line(flip.cause), PLAIN),
            (one_line(flip.failure or ""), DIM),
            (one_line(flip.before.grade.extracted or "-"), PLAIN),
            (one_line(flip.after.grade.extracted or "-"), PLAIN),
            (one_line(flip.after.response.truth), DIM),
        )

    def marked(self, index: int) -> bool:
        return False


class FlipsPane(Vertical):
    """A table of flips, and both responses to the problem under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "next(1)", "Next flip"),
        Binding("N", "next(-1)", "Flip before", show=False),
        Binding("b", "broken", "First broken"),
    ]

    def __init__(self, a: "RunRecord", b: "RunRecord") -> None:
        super().__init__()
        self._a, self._b = a, b
        self._rows: _Rows | None = None

    def compose(self) -> ComposeResult:
        """What it comes to, the table, the two responses."""
        yield Plain("", id="sentence")
        table = RowTable(_COLUMNS)
        table.nothing = "comparing every response ..."
        yield table
        with Container(id="responses"):
            yield ResponseView(id="response-a")
            yield ResponseView(id="response-b")

    def on_mount(self) -> None:
        """Look for flips."""
        in_background(self, self._find, "flips")

    async def _find(self) -> None:
        screen = cast(HouseScreen, self.screen)
        registry = screen.desk.registry
        table = self.query_one(RowTable)
        flips = await screen.ask(lambda: read_flips(registry, self._a, self._b))
        if flips is None:
            table.nothing = "they cannot be compared"
            table.refresh()
            return
        self._rows = _Rows(flips)
        table.nothing = "no problem flipped"
        table.show(self._rows, 0)
        self.query_one("#sentence", Plain).say(_sentence(flips))
        self._show_pair()

    @on(RowTable.Moved)
    def _show_pair(self) -> None:
        cursor = self.query_one(RowTable).cursor
        if self._rows is not None and cursor < len(self._rows):
            flip = self._rows.flip(cursor)
            after, wide = flip.after.response, self.app.size.width >= WIDE_FROM
            self.query_one("#response-a", ResponseView).show(flip.before.response, title="A  ")
            self.query_one("#response-b", ResponseView).show(after, title="B  ", asked=wide)

    def action_next(self, by: int) -> None:
        """The next flip, or the one before."""
        self.query_one(RowTable).cursor += by

    def action_broken(self) -> None:
        """The first problem that A solves and B does not."""
        if self._rows is not None:
            self.query_one(RowTable).cursor = self._rows.fixed


def read_flips(registry: "Registry", a: "RunRecord", b: "RunRecord") -> "Flips":
    """What the last evaluation of B fixed and broke, against that of A.

    Raises:
        UserError: they have no problem in common, or one has no evaluation.
    """
    from a5ctl.tables.flips import find_flips
    from core.responses.names import GraderName

    evaluations = registry.evaluations([b.uuid])
    grader = GraderName(evaluations[-1].grader) if evaluations else GraderName.R1_ZERO
    before, after = (_diagnosis(registry, run, grader) for run in (a, b))
    return find_flips(before, after, same_grader=False, force=False)


def _diagnosis(registry: "Registry", run: "RunRecord", grader: "GraderName") -> "Diagnosis":
    from a5ctl.tables.diagnosis import commands_for, diagnose_evaluation
    from a5ctl.tables.steps import choose_evaluation

    chosen = choose_evaluation(run, registry.evaluations([run.uuid]), None)
    commands = commands_for(run, chosen, grader, last=True, config=None)
    responses = registry.responses(chosen.uuid)
    return diagnose_evaluation(run, chosen, responses, grader, commands)


def _sentence(flips: "Flips") -> Text:
    from a5ctl.tables.flips_view import test_sentence

    before, after = (side.type1 / len(side.cases) for side in (flips.before, flips.after))
    text = styled(
        (f"{percent(before)} to {percent(after)} ({points(after - before)})", "bold"),
        (f"  {len(flips.fixed)} fixed, {len(flips.broken)} broken  ", ""),
    )
    return text.append_text(plain(test_sentence(flips), "dim"))
