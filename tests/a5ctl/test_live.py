"""Who draws while a run trains: never the thread that trains."""

import io
import threading

import pytest
from rich.console import Console
from rich.live import Live

import a5ctl.live_area
from a5ctl.live import RunDisplay
from trainers.observer import StepReport

METRICS = {
    "loss": 0.5,
    "grad_norm": 1.0,
    "lr": 1e-3,
    "tokens_per_second": 1000.0,
    "supervised_fraction": 0.5,
}


def console() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100)


def test_updates_never_wait_for_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_by: list[threading.Thread] = []
    refresh = Live.refresh

    def counting(live: Live) -> None:
        drawn_by.append(threading.current_thread())
        refresh(live)

    monkeypatch.setattr(a5ctl.live_area, "is_interactive", lambda: True)
    monkeypatch.setattr(Live, "refresh", counting)
    with RunDisplay(console()) as display:
        drawn_by.clear()
        for step in range(1, 501):
            display.step(StepReport(step, 500, METRICS, 250.0, 1.0))
        assert threading.current_thread() not in drawn_by


def test_the_bar_shows_the_newest_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(a5ctl.live_area, "is_interactive", lambda: True)
    shown = console()
    with RunDisplay(shown) as display:
        for step in range(1, 8):
            display.step(StepReport(step, 500, METRICS, 250.0, 1.0))
        display._live.refresh()
    assert "7/500" in shown.file.getvalue()
    assert "250 tok/s" in shown.file.getvalue(), "the pace of the run, not of one update"
