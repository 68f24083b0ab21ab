"""Curves of runs, live: metrics, axis, smoothing, and a window that zooms and pans."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from a5ctl.format import percent
from a5ctl.plots.panels import Axis
from a5ctl.tui.charts_view import ChartsView
from a5ctl.tui.dialogs import ChooseMany
from a5ctl.tui.drawing import Chart, whole_extent
from a5ctl.tui.house import HouseScreen, Plain, in_background
from a5ctl.tui.traces import (
    RunCurves,
    Trace,
    Update,
    first_choice,
    is_evaluated,
    read_update,
    smooth,
    unit_of,
)
from core.registry.stretches import stretches

if TYPE_CHECKING:
    from a5ctl.tui.follow import Change
    from core.registry.records import RunRecord

_WEIGHTS = (0.0, 0.6, 0.9, 0.97)
_AXES = (Axis.STEP, Axis.TOKENS, Axis.TIME)
_NARROWEST = 1 / 4096
_DETAIL_POINTS = 600


class CurvesPane(Vertical):
    """Charts of the chosen metrics; new points are appended as they are recorded."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "choose_metrics", "Metrics"),
        Binding("x", "next_axis", "Axis"),
        Binding("s", "next_smoothing", "Smooth"),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom", key_display="+/-"),
        Binding("minus", "zoom(2.0)", "Zoom out", show=False),
        Binding("right,l", "pan(0.25)", "Pan right", show=False),
        Binding("left,h", "pan(-0.25)", "Pan left", show=False),
        Binding("0", "whole", "Whole curve", show=False),
    ]

    def __init__(self, runs: "Sequence[RunRecord]", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._curves = [RunCurves(run) for run in runs]
        self._chosen: list[str] | None = None
        self._axis, self._weight = Axis.STEP, 0.0
        self._window: tuple[float, float] | None = None  # shares of the whole extent
        self._details: dict[tuple[str, str], Trace] = {}
        self._reading = self._again = False

    def compose(self) -> ComposeResult:
        """A line that says what is shown, and the charts."""
        yield Plain("reading the curves ...", id="curves-line", classes="line")
        yield ChartsView(id="charts")

    def on_mount(self) -> None:
        """Read the first curves."""
        self.read()

    def follow(self, change: "Change") -> None:
        """Read what came, if one of the runs moved."""
        if any(curves.run.uuid in change.touched for curves in self._curves):
            self.read()

    def read(self) -> None:
        """Read what is missing; a read that is under way is followed by another one."""
        if self._reading:
            self._again = True
            return
        self._reading = True
        in_background(self, self._read, "curves")

    async def _read(self) -> None:
        screen = cast(HouseScreen, self.screen)
        registry = screen.desk.registry
        try:
            self._again = True
            while self._again:
                self._again = False
                chosen, axis = self._chosen, self._axis

                def work(chosen: list[str] | None = chosen, axis: Axis = axis) -> list[Update]:
                    return [read_update(registry, one, chosen, axis) for one in self._curves]

                updates = await screen.ask(work)
                for curves, update in zip(self._curves, updates or (), strict=False):
                    curves.take(update)
                self._show()
                await self._read_details()
        finally:
            self._reading = False

    async def _read_details(self) -> None:
        """Of a window into averaged curves, read the points in the window."""
        screen = cast(HouseScreen, self.screen)
        window, axis = self._places(), self._axis
        if window is None:
            return
        registry = screen.desk.registry
        for curves in self._curves:
            wanted = {
                name: curves.steps_between(name, axis, *window)
                for name in self._names()
                if (trace := curves.trace(name, axis)) and trace.averaged and name in curves.metrics
            }
            for name, steps in wanted.items():
                found = await screen.ask(
                    lambda uuid=curves.run.uuid, name=name, steps=steps: stretches(  # type: ignore[misc]
                        registry.database, uuid, [name], steps, _DETAIL_POINTS
                    )
                )
                if window != self._places() or axis is not self._axis:
                    return
                for made in curves.detail(found or {}, axis).values():
                    self._details[curves.run.uuid, name] = made
        self._show()

    def _names(self) -> list[str]:
        known = list(dict.fromkeys(name for one in self._curves for name in one.names()))
        if self._chosen is None:
            return first_choice(known)
        return [name for name in self._chosen if name in known]

    def _show(self) -> None:
        charts = self.query_one(ChartsView)
        names, window = self._names(), self._places()
        made = [self._chart(name, window) for name in names]
        charts.nothing = "nothing was recorded yet"
        charts.show([chart for chart in made if chart.traces])
        self._say()

    def _chart(self, name: str, window: tuple[float, float] | None) -> Chart:
        evaluated = is_evaluated(name, self._curves)
        traces = []
        for curves in self._curves:
            trace = curves.trace(name, self._axis)
            if window is not None:
                trace = self._details.get((curves.run.uuid, name), trace)
            if trace is not None:
                traces.append(smooth(trace, self._weight) if not evaluated else trace)
        remark = f" smoothed {self._weight:g}" if self._weight and not evaluated else ""
        return Chart(name, unit_of(name), tuple(traces), remark, evaluated, window, self._axis)

    @on(ChartsView.Turned)
    def _say(self) -> None:
        names, charts = self._names(), self.query_one(ChartsView)
        every = len({name for one in self._curves for name in one.names()})
        parts = [f"{len(names)} of {every} metrics", f"over {self._axis}"]
        parts.append(f"smoothed {self._weight:g}" if self._weight else "not smoothed")
        if self._window is not None:
            parts.append(f"window {percent(self._window[0], 0)} to {percent(self._window[1], 0)}")
        if charts.pages > 1:
            parts.append(f"page {charts.page + 1} of {charts.pages}")
        self.query_one("#curves-line", Plain).say("  ".join(parts))

    def _places(self) -> tuple[float, float] | None:
        """The window in units of the axis."""
        if self._window is None:
            return None
        names = self._names()
        traces = [t for one in self._curves for n in names if (t := one.trace(n, self._axis))]
        if not traces:
            return None
        left, right = whole_extent(traces)
        return tuple(left + share * (right - left) for share in self._window)  # type: ignore[return-value]

    def _look_at(self, window: tuple[float, float] | None) -> None:
        self._window = window
        self._details.clear()
        self._show()
        if window is not None:
            self.read()

    def action_zoom(self, factor: float) -> None:
        """Narrow or widen the window around its middle."""
        left, right = self._window or (0.0, 1.0)
        width = max(_NARROWEST, (right - left) * factor)
        if width >= 1:
            self._look_at(None)
            return
        # a live curve grows at its right end: who looks at that end goes on doing so
        begin = 1 - width if right >= 1 else (left + right - width) / 2
        begin = max(0.0, min(1 - width, begin))
        self._look_at((begin, begin + width))

    def action_pan(self, by: float) -> None:
        """Move the window by a part of its width."""
        if self._window is None:
            return
        left, right = self._window
        width = right - left
        begin = min(1 - width, max(0.0, left + by * width))
        self._look_at((begin, begin + width))

    def action_whole(self) -> None:
        """Show whole curves."""
        self._look_at(None)

    def action_next_axis(self) -> None:
        """Steps, tokens, or time along the bottom."""
        self._axis = _AXES[(_AXES.index(self._axis) + 1) % len(_AXES)]
        self._details.clear()
        self._show()
        self.read()

    def action_next_smoothing(self) -> None:
        """Smooth more, then not at all."""
        self._weight = _WEIGHTS[(_WEIGHTS.index(self._weight) + 1) % len(_WEIGHTS)]
        self._show()

    def action_choose_metrics(self) -> None:
        """Ask which metrics to draw."""
        known = list(dict.fromkeys(name for one in self._curves for name in one.names()))

        def chosen(names: list[str] | None) -> None:
            if names:
                self._chosen = names
                self._show()
                self.read()

        self.app.push_screen(ChooseMany("Metrics to draw", known, self._names()), chosen)
