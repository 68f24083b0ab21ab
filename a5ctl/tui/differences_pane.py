"""What two runs do not have in common, of everything that can change a result."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Vertical

from a5ctl.tui.house import HouseScreen, Plain, in_background
from a5ctl.tui.looks import BAD, DIM, PLAIN, STRONG, Cell, value_text
from a5ctl.tui.row_table import Column, RowTable

if TYPE_CHECKING:
    from a5ctl.tables.run_diff import Difference, RunDiff
    from core.registry.records import RunRecord

_COLUMNS = (
    Column("section", "", 14, 60),
    Column("name", "what", 24, 99),
    Column("a", "A", 12, 98, elastic=True),
    Column("b", "B", 12, 98, elastic=True),
)


class _Rows:
    def __init__(self, rows: "Sequence[tuple[str, Difference]]") -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def cells(self, index: int) -> Sequence[Cell]:
        section, found = self._rows[index]
        name = value_text(found.name)
        first = index == 0 or self._rows[index - 1][0] != section
        return (
            (section if first else "", STRONG),
            (f"! {name}", BAD) if found.blocking else (name, PLAIN),
            _value(found.a),
            _value(found.b),
        )

    def marked(self, index: int) -> bool:
        return False


class DifferencesPane(Vertical):
    """A table: what differs, and how."""

    def __init__(self, a: "RunRecord", b: "RunRecord") -> None:
        super().__init__()
        self._a, self._b = a, b

    def compose(self) -> ComposeResult:
        """The table and notes."""
        table = RowTable(_COLUMNS)
        table.nothing = "reading ..."
        yield table
        yield Plain(id="notes")

    def on_mount(self) -> None:
        """Compare."""
        in_background(self, self._read, "differences")

    async def _read(self) -> None:
        screen = cast(HouseScreen, self.screen)
        registry = screen.desk.registry

        def work() -> "RunDiff":
            from a5ctl.tables.run_diff import diff_runs

            return diff_runs(registry, self._a, self._b)

        diff = await screen.ask(work)
        if diff is None:
            return
        table = self.query_one(RowTable)
        table.nothing = "nothing differs but the run itself"
        table.show(_Rows([(s.value, row) for s, rows in diff.sections.items() for row in rows]))
        notes = [*diff.notes]
        if diff.patch:
            notes.append(f"the uncommitted changes differ: a5ctl show {self._a.id} shows them")
        if any(row.blocking for rows in diff.sections.values() for row in rows):
            notes.append("! marks protocol fields that forbid a comparison of accuracies")
        self.query_one("#notes", Plain).say("\n".join(notes))


def _value(value: object) -> Cell:
    return ("-", DIM) if value is None else (value_text(value), PLAIN)
