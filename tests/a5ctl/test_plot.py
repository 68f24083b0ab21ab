"""`a5ctl plot`: curves in the terminal and as pictures."""

import math
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from a5ctl.app import app
from a5ctl.plots.axes import bottom_axis, ticks
from a5ctl.plots.panels import Axis, Line, Panel, Spot, smoothed
from core.registry.recorder import Recorder
from core.workspace import Workspace
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import evaluation, right, wrong

HOSTILE = "evil/[red]$\\x\x1b[2J"
STEPS = 60


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Two runs: one with everything, one that has recorded its loss and nothing else."""
    home = tmp_path_factory.mktemp("plots")
    full = [evaluation([right(10 + i) if i < step else wrong(10 + i) for i in range(20)], step=step)
            for step in (5, 15)]  # fmt: skip
    runs = [handmade.record(home, "sft-1-aaaa", full), handmade.record(home, "sft-1-bbbb", [])]
    for run in runs:
        registry = handmade.open_home(home)
        with Recorder(registry, run.uuid, Workspace(home).run_folder(run.id)) as recorder:
            for step in range(1, STEPS + 1):
                more = {"tokens_total": 100.0 * step, HOSTILE: 2.0, "odd": math.nan}
                loss = {"loss": math.inf if step == 1 else 1 / step}
                recorder.metrics(step, loss | (more if run is runs[0] else {}))
        registry.close()
    return House(home, home, home)


def drawn(house: House, *arguments: str, width: int = 80, **environment: str) -> str:
    settings = {"A5CTL_HOME": str(house.home), "COLUMNS": str(width), **environment}
    result = CliRunner(env=settings).invoke(app, ["plot", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(house: House, *arguments: str) -> str:
    result = house.run("plot", *arguments)
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize("width", [40, 80, 140])
def test_a_chart_fits_the_terminal_and_says_what_its_lines_are(house: House, width: int) -> None:
    text = drawn(house, "loss,accuracy", "sft-1-aaaa", "sft-1-bbbb", width=width, NO_COLOR="1")
    assert max(map(len, text.splitlines())) <= width
    for word in ("loss", "accuracy", "sft-1-aaaa", "sft-1-bbbb", "75.0%", "finite", "step"):
        assert word in text


def test_without_colours_every_line_has_a_letter_and_shared_cells_a_star(house: House) -> None:
    text = drawn(house, "loss", "sft-1-aaaa", "sft-1-bbbb", NO_COLOR="1")
    assert "a  sft-1-aaaa" in text
    assert "b  sft-1-bbbb" in text
    assert "***" in text, "both runs have the same losses"
    assert not any("⠀" <= char <= "⣿" for char in text)


def test_one_line_is_drawn_in_dots_and_evaluations_in_points(house: House) -> None:
    assert any("⠀" < char <= "⣿" for char in drawn(house, "loss", "sft-1-aaaa"))
    assert drawn(house, "accuracy", "sft-1-aaaa").count("●") == 2


def panel(house: House, *arguments: str) -> dict[str, Any]:
    (found,) = house.json("plot", *arguments)["panels"]
    return dict(found)


@pytest.mark.slow
def test_evaluations_come_with_their_intervals(house: House) -> None:
    found = panel(house, "accuracy", "sft-1-aaaa", "sft-1-bbbb")
    (line,) = found["lines"]
    assert [(spot["x"], spot["y"]) for spot in line["spots"]] == [(5, 0.25), (15, 0.75)]
    assert all(spot["low"] < spot["y"] < spot["high"] for spot in line["spots"])
    assert found["missing"] == ["sft-1-bbbb"]
    for name, share in (("accuracy.lenient", 0.75), ("unclosed", 0.0), ("unparseable", 0.0)):
        assert panel(house, name, "sft-1-aaaa")["lines"][0]["spots"][-1]["y"] == share


def test_a_point_has_the_mean_of_its_values_between_their_ends(house: House) -> None:
    (line,) = panel(house, "loss", "sft-1-bbbb", "--points", "6")["lines"]
    assert len(line["spots"]) == 6
    assert line["nonfinite"] == 1, "the infinite value is counted, not drawn"
    values = [1 / step for step in range(2, 11)]
    assert line["spots"][0]["y"] == pytest.approx(sum(values) / len(values))
    assert (line["spots"][0]["low"], line["spots"][0]["high"]) == (values[-1], values[0])


def test_tokens_and_time_can_run_along_the_bottom(house: House) -> None:
    line = panel(house, "loss", "sft-1-aaaa", "--x", "tokens")["lines"][0]
    assert line["spots"][-1]["x"] == 100 * STEPS
    accuracy = panel(house, "accuracy", "sft-1-aaaa", "--x", "tokens")["lines"][0]["spots"]
    assert [spot["x"] for spot in accuracy] == [500, 1500]
    times = [s["x"] for s in panel(house, "loss", "sft-1-aaaa", "--x", "time")["lines"][0]["spots"]]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] < 600
    assert "tokens_total" in refused(house, "loss", "sft-1-bbbb", "--x", "tokens")


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("PDF", b"%PDF")])  # fmt: skip # noqa: E501
def test_a_picture_replaces_the_file_whole(
    house: House, tmp_path: Path, suffix: str, begins: bytes
) -> None:
    path = tmp_path / f"loss.{suffix}"
    path.write_text("before")
    names = f"loss,accuracy,{HOSTILE}"
    drawn(house, names, "sft-1-aaaa", "sft-1-bbbb", "--out", str(path), "--smooth", "0.5")
    assert path.read_bytes().startswith(begins)
    assert os.listdir(tmp_path) == [path.name]


def test_a_picture_that_cannot_be_written_leaves_the_old_one(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "loss.png"
    path.write_text("before")
    monkeypatch.setattr(Figure, "savefig", full)
    assert "No space left" in refused(house, "loss", "sft-1-aaaa", "--out", str(path))
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["loss.png"]


def test_names_of_metrics_reach_the_terminal_as_text(house: House) -> None:
    text = drawn(house, HOSTILE, "sft-1-aaaa", FORCE_COLOR="1")
    assert "\x1b[2J" not in text
    assert "[red]" in text


@pytest.mark.slow
def test_what_cannot_be_drawn_is_told_in_one_sentence(house: House) -> None:
    assert "did you mean loss?" in refused(house, "los", "sft-1-bbbb")
    assert "accuracy.strict" in refused(house, "accuracy.strikt", "sft-1-aaaa")
    assert ".png, .svg, .pdf" in refused(house, "loss", "sft-1-aaaa", "--out", "loss.gif")
    assert "step, time, tokens" in refused(house, "loss", "sft-1-aaaa", "--x", "epoch")
    assert "--smooth 1" in refused(house, "loss", "sft-1-aaaa", "--smooth", "1")
    assert "no metric" in refused(house, "\ud800", "sft-1-aaaa")
    assert "empty name" in refused(house, "loss,", "sft-1-aaaa")
    assert "nothing to draw of sft-1-aaaa" in drawn(house, "odd", "sft-1-aaaa")


def test_smoothing_starts_at_the_first_value_and_lags_behind() -> None:
    spots = tuple(Spot(x, float(x == 2), 0, 1) for x in range(5))
    panel = Panel("loss", "", False, (Line("a", spots),))
    values = [spot.y for spot in smoothed(panel, 0.5).lines[0].spots]
    assert values[:2] == [0, 0]
    assert values[2] == pytest.approx(1 / (1 + 0.5 + 0.25))
    assert values[2] > values[3] > values[4] > 0
    flat = Panel("loss", "", False, (Line("a", tuple(Spot(x, 3.0, 3, 3) for x in range(9))),))
    assert [s.y for s in smoothed(flat, 0.9).lines[0].spots] == pytest.approx([3.0] * 9)
    assert smoothed(Panel("accuracy", "share", True, panel.lines), 0.9).lines == panel.lines


def test_ticks_are_round_and_lie_inside() -> None:
    assert ticks(0.13, 0.71, 3) == pytest.approx([0.2, 0.4, 0.6])
    assert ticks(-1.0, 1.0, 4) == pytest.approx([-1, -0.5, 0, 0.5, 1])
    assert ticks(999.0, 1000.5, 3) == pytest.approx([999, 999.5, 1000, 1000.5])


def test_time_is_told_in_a_unit_that_fits() -> None:
    def panel(seconds: float) -> Panel:
        return Panel("loss", "", False, (Line("a", (Spot(seconds, 1, 1, 1),)),))

    titles = [bottom_axis(Axis.TIME, [panel(s)]).title.split()[0] for s in (20, 900, 20_000)]
    assert titles == ["seconds", "minutes", "hours"]
