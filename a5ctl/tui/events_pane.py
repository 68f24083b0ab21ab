"""What happened in a run: preflight findings, alarms of the watchdog, resumes."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll

from a5ctl.console import plain
from a5ctl.format import moment
from a5ctl.tui.columns import Column
from a5ctl.tui.house import HouseScreen, Plain, in_background
from a5ctl.tui.looks import DIM, PLAIN, SEVERITY_SIGNS, STRONG, Cell, one_line, styled
from a5ctl.tui.row_table import RowTable
from core.registry.watch import run_marks

if TYPE_CHECKING:
    from core.registry.records import EventRecord, RunRecord

_COLUMNS = (
    Column("time", "time UTC", 8, 60),
    Column("step", "step", 6, 80, right=True),
    Column("severity", "", 9, 70),
    Column("kind", "kind", 20, 90),
    Column("message", "message", 30, 99, elastic=True),
)
_LONGEST_DATA = 8_000


class _Rows:
    def __init__(self, events: "Sequence[EventRecord]") -> None:
        self._events = events

    def __len__(self) -> int:
        return len(self._events)

    def cells(self, index: int) -> Sequence[Cell]:
        event = self._events[index]
        sign, look = SEVERITY_SIGNS.get(event.severity, ("·", PLAIN))
        return (
            (moment(event.time)[11:19], DIM),
            ("" if event.step is None else str(event.step), PLAIN),
            (f"{sign} {one_line(event.severity)}", look),
            (one_line(event.kind), STRONG),
            (one_line(event.message, 400), PLAIN),
        )

    def marked(self, index: int) -> bool:
        return False


class EventsPane(Vertical):
    """A table of events, the whole of one below it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("w", "warnings", "Warnings only")]

    def __init__(self, run: "RunRecord") -> None:
        super().__init__()
        self._run = run
        self._events: Sequence[EventRecord] = ()
        self._shown: Sequence[EventRecord] = ()
        self._warnings = False
        self._mark: tuple[int, int] | None = None

    def compose(self) -> ComposeResult:
        """The table and the text."""
        table = RowTable(_COLUMNS)
        table.nothing = "nothing happened yet"
        yield table
        with VerticalScroll(classes="below", can_focus=False):
            yield Plain(id="event")

    def on_mount(self) -> None:
        """Read them."""
        self.read()

    def read(self) -> None:
        """Read again, if there are new ones."""
        in_background(self, self._read, "events")

    def action_warnings(self) -> None:
        """Without what only informs, or with it."""
        self._warnings = not self._warnings
        self._show()

    async def _read(self) -> None:
        screen = cast(HouseScreen, self.screen)
        registry, uuid, before = screen.desk.registry, self._run.uuid, self._mark

        def work() -> "tuple[tuple[int, int], Sequence[EventRecord] | None]":
            mark = run_marks(registry.database, uuid).events
            return mark, registry.events(uuid) if mark != before else None

        found = await screen.ask(work)
        if found is not None and found[1] is not None:
            self._mark, self._events = found[0], found[1]
            self._show()

    def _show(self) -> None:
        kept = [e for e in self._events if not self._warnings or e.severity != "info"]
        table = self.query_one(RowTable)
        at_end = bool(self._shown) and table.cursor == len(self._shown) - 1
        self._shown = kept
        table.show(_Rows(kept), len(kept) - 1 if at_end else None)
        self._show_event()

    @on(RowTable.Moved)
    def _show_event(self) -> None:
        cursor = self.query_one(RowTable).cursor
        event = self._shown[cursor] if cursor < len(self._shown) else None
        self.query_one("#event", Plain).say(_event_text(event) if event else Text())


def _event_text(event: "EventRecord") -> Text:
    text = styled((f"{event.severity}  {event.kind}", "bold"), (f"  {moment(event.time)}\n", "dim"))
    text.append_text(plain(event.message))
    if event.data is not None:
        data = json.dumps(event.data, indent=2, ensure_ascii=False, default=str)
        text.append_text(plain(f"\n{data[:_LONGEST_DATA]}", "dim"))
    return text
