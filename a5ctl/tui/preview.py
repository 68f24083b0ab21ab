"""Beside the list of runs, where there is room: the run under the cursor at a glance."""

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical

from a5ctl.console import plain
from a5ctl.format import age, count, duration, interval, percent
from a5ctl.plots.panels import Axis
from a5ctl.tables.runs import run_seconds
from a5ctl.tables.settings import run_settings
from a5ctl.tui.charts_view import ChartsView
from a5ctl.tui.drawing import Chart
from a5ctl.tui.house import HouseScreen, Plain, in_background
from a5ctl.tui.looks import SEVERITY_SIGNS, one_line, status_cell, styled, value_text
from a5ctl.tui.runs_model import Entry
from a5ctl.tui.traces import RunCurves, first_choice, is_evaluated, read_update, unit_of

if TYPE_CHECKING:
    from core.registry.records import EventRecord

_PATIENCE_S = 0.12
_CURVES, _EVENTS = 3, 4
_SETTINGS = 14


class Preview(Vertical):
    """One run: how it stands, its first curves, what happened last, what it was given."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._entry: Entry | None = None
        self._curves: RunCurves | None = None

    def compose(self) -> ComposeResult:
        """The text above the charts, and the rest below."""
        yield Plain(id="preview-head")
        yield ChartsView(id="preview-charts", focusable=False)
        yield Plain(id="preview-rest")

    def show(self, entry: Entry | None) -> None:
        """Show another run, or the same one after it moved."""
        self._entry = entry
        if entry is None:
            self._curves = None
            self.query_one("#preview-head", Plain).say("")
            self.query_one("#preview-charts", ChartsView).show(())
            self.query_one("#preview-rest", Plain).say("")
            return
        self.query_one("#preview-head", Plain).say(_head(entry))
        other = self._curves is None or self._curves.run.uuid != entry.run.uuid
        # who scrolls through a list does not want to wait for every run on the way
        wait = _PATIENCE_S if other else 0.0
        in_background(self, partial(self._read, entry, wait), "preview", latest=other)

    async def _read(self, entry: Entry, wait: float) -> None:
        await asyncio.sleep(wait)
        screen = cast(HouseScreen, self.screen)
        registry, curves = screen.desk.registry, self._curves
        if curves is None or curves.run.uuid != entry.run.uuid:
            curves = RunCurves(entry.run)
        known = curves

        def work() -> "tuple[object, list[EventRecord]]":
            update = read_update(registry, known, None, Axis.STEP)
            return update, registry.events(entry.run.uuid)

        found = await screen.ask(work)
        if found is None or self._entry is None or self._entry.run.uuid != entry.run.uuid:
            return
        update, events = found
        curves.take(update)  # type: ignore[arg-type]
        self._curves = curves
        names = first_choice(curves.names())[:_CURVES]
        charts = [
            Chart(name, unit_of(name), (trace,), dotted=is_evaluated(name, [curves]))
            for name in names
            if (trace := curves.trace(name, Axis.STEP)) is not None
        ]
        self.query_one("#preview-charts", ChartsView).show(charts)
        self.query_one("#preview-rest", Plain).say(_rest(entry, events))


def _head(entry: Entry) -> Text:
    run, line = entry.run, entry.line
    status, look = status_cell(line.status)
    text = styled((run.id, "bold"), (f"  {run.name}" if run.name else "", ""))
    text.append(f"   {status}", style={"bad": "bold", "live": "bold"}.get(look, ""))
    seconds = run_seconds(run, time.time())
    text.append(f"   {duration(seconds)}", "dim")
    text.append(f"   {age(time.time() - run.created)} old\n", "dim")
    if line.headline is not None:
        shown = line.headline
        text.append(f"accuracy {percent(shown.accuracy)}", "bold")
        text.append(f" {interval(shown.interval)}", "dim")
        text.append(f"  of {count(shown.n)} on {one_line(shown.split)} at step {shown.step}")
    if run.selected_on_test:
        text.append("  selected on test", "bold")
    if run.exit_reason and line.status != "finished":
        text.append_text(plain(f"\n{one_line(run.exit_reason)}"))
    if run.tags:
        text.append_text(plain(f"\ntags {one_line(', '.join(run.tags))}"))
    if run.note:
        text.append_text(plain(f"\nnote {one_line(run.note)}"))
    return text


def _rest(entry: Entry, events: "list[EventRecord]") -> Text:
    text = Text()
    telling = [event for event in events if event.severity != "info"][-_EVENTS:]
    for event in telling:
        sign = SEVERITY_SIGNS.get(event.severity, ("·", ""))[0]
        step = "" if event.step is None else f" step {event.step}"
        text.append_text(plain(f"{sign}{step} {one_line(event.kind)}: {one_line(event.message)}\n"))
    settings = run_settings(entry.run)
    chosen = [name for name in _TOLD if name in settings][:_SETTINGS]
    for name in chosen:
        text.append_text(plain(f"{one_line(name)} ", "dim"))
        text.append_text(plain(f"{value_text(settings[name])}   "))
    return text


_TOLD = (
    *("model.source", "model.run", "data.source", "data.size", "data.filter", "prompt.template"),
    *("train.lr", "train.epochs", "train.steps", "train.batch_size", "train.supervise"),
    *("grpo.group_size", "grpo.loss", "evaluation.max_tokens", "evaluation.grader"),
)
