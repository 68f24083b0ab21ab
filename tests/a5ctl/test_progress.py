"""Progress of long work: on a terminal alone, with the time left, and with what a stop leaves."""

import io
import re

import pytest
from rich.console import Console

from a5ctl import console
from a5ctl.progress import Stop, progress, tracked


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal of 100 columns that somebody watches."""
    screen = io.StringIO()
    shown = Console(file=screen, force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(console, "err", lambda: shown)
    monkeypatch.setattr(console, "is_interactive", lambda: True)
    return screen


def test_it_says_how_far_it_is_and_what_a_stop_leaves(terminal: io.StringIO) -> None:
    with progress("checking", "runs", stop=Stop.KEEPS) as report:
        assert list(tracked(["a", "b"], 2, report)) == ["a", "b"]
    said = terminal.getvalue()
    assert "checking" in said
    assert "2/2 runs" in said
    assert str(Stop.KEEPS) in said


def test_without_a_count_it_shows_the_time(terminal: io.StringIO) -> None:
    with progress("copying", stop=Stop.NOTHING):
        pass
    assert re.search(r"copying .*0:00:00 .*Ctrl-C leaves nothing behind", terminal.getvalue())


def test_what_it_is_about_is_no_markup(terminal: io.StringIO) -> None:
    with progress("[red]run[/red]\x1b[2J", stop=Stop.NOTHING):
        pass
    assert "[red]run[/red]\\x1b[2J" in terminal.getvalue()


@pytest.mark.parametrize("how", [{"quiet": True}, {"as_json": True}])
def test_quiet_and_json_show_nothing(terminal: io.StringIO, how: dict[str, bool]) -> None:
    with progress("checking", "runs", stop=Stop.KEEPS, **how) as report:
        report(1, 2)
    assert terminal.getvalue() == ""


def test_a_pipe_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with progress("checking", "runs", stop=Stop.KEEPS) as report:
        report(1, 2)
    assert capfd.readouterr() == ("", "")


def test_results_go_to_standard_output_while_it_is_shown(
    terminal: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("checking", stop=Stop.KEEPS):
        print("result")
    assert capsys.readouterr().out == "result\n"
    assert "result" not in terminal.getvalue()


def test_a_run_says_how_long_its_evaluation_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    from a5ctl import live

    now = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    clock = live._Clock()
    assert clock.left("evaluation", 0, 100) == ""
    now[0] = 10.0
    assert clock.left("evaluation", 25, 100) == ", 30s left"
    assert clock.left("another", 0, 100) == ""
