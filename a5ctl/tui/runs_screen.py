"""The first screen: every run, live, with what can be done to it."""

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input

from a5ctl.tui.acting import ActingScreen
from a5ctl.tui.dialogs import ChooseOne
from a5ctl.tui.house import WIDE_FROM, Plain, in_background
from a5ctl.tui.key_line import KeyLine
from a5ctl.tui.preview import Preview
from a5ctl.tui.row_table import RowTable
from a5ctl.tui.runs_model import LARGEST_FIRST, SORT_KEYS, Entry, Folded, Item, RunsModel
from a5ctl.tui.runs_rows import RunRows, entry_of, run_columns
from a5ctl.tui.runs_title import title_line
from core.registry.query.request import Selection

if TYPE_CHECKING:
    from a5ctl.tui.follow import Change
    from core.registry.records import RunRecord

_SPARK_POINTS, _SPARK_SAMPLE = 12, 4
_MARKS = 2


class RunsScreen(ActingScreen):
    """The list of runs."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", key_display="⏎"),
        Binding("slash", "search", "Search", key_display="/"),
        Binding("f", "filter", "Filter"),
        Binding("s", "sort", "Sort"),
        Binding("S", "turn_sort", "Turn the order", show=False),
        Binding("space", "mark", "Mark", key_display="␣"),
        Binding("c", "compare", "Compare"),
        Binding("g", "fold", "Groups"),
        Binding("a", "archived", "Archived", show=False),
        Binding("n", "new_run", "New"),
        Binding("x", "stop", "Stop"),
        Binding("v", "preview", "Show or hide the preview", show=False),
        Binding("escape,backspace", "back", "Clear search, filter and marks", show=False),
        Binding("q", "app.quit", "Quit"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.model = RunsModel()
        self._loaded = False
        self._where: str | None = None
        self._preview = True
        self._sparking = False

    def compose(self) -> ComposeResult:
        """Title, the line for searches and filters, the list, the preview, the keys."""
        yield Plain("reading the registry ...", id="title", classes="line")
        yield Input(id="search")
        yield Plain("", id="complaint", classes="line")
        with Horizontal(id="body"):
            table = RowTable(run_columns(self.model), id="runs")
            table.nothing = "reading ..."
            yield table
            yield Preview(id="preview")
        yield KeyLine()

    def follow(self, change: "Change") -> None:
        """Take in what moved, and draw what is other than before."""
        self.model.apply(change)
        if self._where is not None and self._loaded:
            in_background(self, partial(self._choose, self._where), "where", latest=True)
        first, self._loaded = not self._loaded, True
        self.rearrange(touched=None if first else change.touched)

    def rearrange(self, touched: frozenset[str] | None = None) -> None:
        """Show what the model says; the cursor stays on its run."""
        table = self.query_one(RowTable)
        item = self._item()
        before = [_identity(item) for item in self.model.items]
        self.model.arrange()
        now = [_identity(item) for item in self.model.items]
        table.nothing = self._nothing()
        if touched is not None and now == before:
            for place, found in enumerate(now):
                if found in touched:
                    table.row_changed(place)
        else:
            cursor = now.index(_identity(item)) if item and _identity(item) in now else None
            table.sorted_by = self.model.sort
            table.show(RunRows(self.model), cursor, run_columns(self.model))
        self._say()
        if touched is None or (self.entry and self.entry.run.uuid in touched):
            self._show_preview()
        self._ask_for_losses()

    @property
    def entry(self) -> Entry | None:
        """The run under the cursor."""
        return entry_of(self._item())

    @property
    def chosen_runs(self) -> "list[RunRecord]":
        """The marked runs; the one under the cursor where none is."""
        if self.model.marked:
            return [self.model.entries[uuid].run for uuid in self.model.marked]
        item = self._item()
        if isinstance(item, Folded):
            return [entry.run for entry in item.entries]
        return [item.run] if item else []

    def tick(self) -> None:
        """Ages and times grow without anybody writing."""
        table = self.query_one(RowTable)
        for place in table.visible_rows:
            if (entry := entry_of(self.model.items[place])) and entry.line.status == "running":
                table.row_changed(place)

    def _item(self) -> Item | None:
        cursor = self.query_one(RowTable).cursor
        return self.model.items[cursor] if cursor < len(self.model.items) else None

    def _say(self) -> None:
        label = self.desk.registry.label
        title = title_line(self.model, label, self._where, self.app.size.width)
        self.query_one("#title", Plain).say(title)

    def _nothing(self) -> str:
        if not self._loaded:
            return "reading ..."
        if self.model.entries:
            return "no run fits; esc shows all of them again"
        return "no runs yet: n starts one, and so does a5ctl run sft --size 256 elsewhere"

    def _show_preview(self) -> None:
        preview = self.query_one(Preview)
        preview.display = self._preview and self.app.size.width >= WIDE_FROM
        if preview.display:
            preview.show(self.entry)

    def _ask_for_losses(self) -> None:
        """Read the loss of runs on the screen whose accuracies make no picture."""
        items = self.model.items
        visible = [entry_of(items[n]) for n in self.query_one(RowTable).visible_rows]
        wanted = [entry.run.uuid for entry in visible if entry and entry.wants_losses]
        if wanted and not self._sparking:
            self._sparking = True
            in_background(self, partial(self._read_losses, wanted), "losses")

    async def _read_losses(self, uuids: list[str]) -> None:
        registry = self.desk.registry
        try:
            found = await self.ask(
                lambda: registry.curves(uuids, ["loss"], _SPARK_POINTS, _SPARK_SAMPLE)
            )
        finally:
            self._sparking = False
        losses = {
            uuid: [point.value for point in curves.get("loss", ()) if point.value is not None]
            for uuid, curves in (found or {}).items()
        }
        self.model.note_losses(losses)
        self.model.arrange()
        self.query_one(RowTable).refresh()

    async def _choose(self, where: str) -> None:
        """Ask the registry which runs a filter lets through."""
        selection = Selection(where=where, archived=True)
        registry = self.desk.registry
        from core.errors import UserError

        complaint = self.query_one("#complaint", Plain)
        try:
            found = await self.desk.read(lambda: registry.select_runs(selection))
        except UserError as error:
            complaint.say(str(error))
            complaint.display = True
            return
        complaint.display = False
        self._where, self.model.allowed = where, frozenset(found.uuids)
        self.rearrange()

    @on(RowTable.Moved)
    def _moved(self) -> None:
        self._show_preview()
        self._ask_for_losses()

    @on(RowTable.Chosen)
    def _row_chosen(self) -> None:
        self.action_open()

    @on(RowTable.HeaderPressed)
    def _header_pressed(self, event: RowTable.HeaderPressed) -> None:
        if event.column in SORT_KEYS:
            self._sort_by(event.column)

    @on(Input.Changed, "#search")
    def _typed(self, event: Input.Changed) -> None:
        if self.query_one("#search", Input).has_class("searching"):
            self.model.words = event.value
            self.rearrange()

    @on(Input.Submitted, "#search")
    def _submitted(self, event: Input.Submitted) -> None:
        line = self.query_one("#search", Input)
        if line.has_class("searching"):
            self._close_line()
        elif event.value.strip():
            choose = partial(self._choose, event.value.strip())
            in_background(self, choose, "where", latest=True)
            self.query_one(RowTable).focus()
        else:
            self._where, self.model.allowed = None, None
            self._close_line()
            self.rearrange()

    def _open_line(self, kind: str, value: str, hint: str) -> None:
        line = self.query_one("#search", Input)
        line.remove_class("searching", "filtering")
        line.add_class(kind)
        line.display = True
        line.placeholder = hint
        with line.prevent(Input.Changed):
            line.value = value
        self.set_focus(line)  # at once: the next key may be there already

    def _close_line(self) -> None:
        self.query_one("#search", Input).display = False
        self.query_one("#complaint", Plain).display = False
        self.set_focus(self.query_one(RowTable))

    def _sort_by(self, column: str) -> None:
        before = self.model.sort
        if before is not None and before[0] == column:
            self.model.sort = (column, not before[1])
        else:
            self.model.sort = (column, column in LARGEST_FIRST)
        self.rearrange()

    def on_resize(self) -> None:
        """The preview comes and goes with the width."""
        if self._loaded:
            self._show_preview()
            self._say()

    def action_open(self) -> None:
        """Open the run, or the folded group."""
        item = self._item()
        if isinstance(item, Folded):
            self.model.open_groups ^= {item.group}
            self.rearrange()
        elif item is not None:
            self.house.open_run(item.run)

    def action_search(self) -> None:
        """Type words that a run must have; the list follows."""
        self._open_line(
            "searching", self.model.words, "words in id, name, group, model, tags, note"
        )

    def action_filter(self) -> None:
        """Type a filter as for a5ctl ls --where."""
        self._open_line("filtering", self._where or "", "kind = sft and accuracy > 0.3   (enter)")

    def action_sort(self) -> None:
        """Ask which column to sort by."""

        def chosen(column: str | None) -> None:
            if column == "newest":
                self.model.sort = None
                self.rearrange()
            elif column is not None:
                self._sort_by(column)

        options = [("newest", "newest first"), *((name, name) for name in SORT_KEYS)]
        now = self.model.sort[0] if self.model.sort else "newest"
        self.app.push_screen(ChooseOne("Sort by", options, now), chosen)

    def action_turn_sort(self) -> None:
        """The other way round."""
        column, largest_first = self.model.sort or ("age", False)
        self.model.sort = (column, not largest_first)
        self.rearrange()

    def action_fold(self) -> None:
        """Fold the runs of a group into one row, or show them all."""
        self.model.folding = not self.model.folding
        self.rearrange()

    def action_archived(self) -> None:
        """With the runs in the archive, or without."""
        self.model.archived = not self.model.archived
        self.rearrange()

    def action_mark(self) -> None:
        """Mark the run for what comes next, and go on to the next row."""
        entry = self.entry
        if entry is not None:
            self.model.toggle_mark(entry.run.uuid)
            self._say()
            table = self.query_one(RowTable)
            table.row_changed(table.cursor)
            table.cursor += 1

    def action_compare(self) -> None:
        """Two marked runs side by side."""
        runs = self.chosen_runs
        if len(self.model.marked) != _MARKS:
            self.tell(f"{len(self.model.marked)} runs are marked; mark two with space", "warning")
            return
        self.house.open_pair(runs[0], runs[1])

    def action_preview(self) -> None:
        """Show or hide what is beside the list."""
        self._preview = not self._preview
        self._show_preview()

    def action_new_run(self) -> None:
        """The form that starts a run."""
        self.house.actions_on.start()

    def action_back(self) -> None:
        """Take one thing back: the line, the search, the filter, the marks."""
        line = self.query_one("#search", Input)
        if line.display or self.query_one("#complaint", Plain).display:
            self._close_line()
        if self.model.words:
            self.model.words = ""
            line.value = ""
        elif self._where is not None:
            self._where, self.model.allowed = None, None
        else:
            self.model.marked.clear()
        self.rearrange()


def _identity(item: Item) -> str:
    return f"group {item.group}" if isinstance(item, Folded) else item.run.uuid
