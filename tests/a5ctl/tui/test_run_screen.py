"""One run: its tabs, and curves that grow by what is new alone."""

from pathlib import Path

import pytest

from a5ctl.tui.curves_pane import CurvesPane
from core.registry.database import Database
from core.registry.recorder import Recorder
from core.registry.records import NewRun
from core.workspace import Workspace
from tests.a5ctl import handmade
from tests.a5ctl.handmade import right, wrong
from tests.a5ctl.tui.driven import LARGE, SMALL, Person, sit_down


async def open_run(person: Person, run_id: str) -> None:
    items = person.app.runs.model.items
    place = next(n for n, item in enumerate(items) if item.run.id == run_id)
    person.app.runs.query_one("#runs").cursor = place
    await person.press("enter")
    await person.sees("1 curves", run_id)


@pytest.mark.slow
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_every_tab_shows_its_part_of_the_run(lived_home: Path, size: tuple[int, int]) -> None:
    async def play(person: Person) -> None:
        await open_run(person, "sft-curve")
        await person.sees("loss   0.05  0.05 to 2", "over step", "1 of 2 metrics")
        await person.press("3")
        await person.sees("loss_spike", "▲ warning", "the loss jumped")
        await person.press("w")
        await person.misses("preflight")
        await person.press("4")
        await person.sees("train", "lr 0.001")
        await person.press("tab")
        await person.sees("created", "host")
        await person.press("6")
        await person.sees("no log: nothing")
        folder = Workspace(lived_home).run_folder("sft-curve")
        (folder / "log.txt").write_text("first \x1b[2J line\n")
        await person.sees("first \\x1b[2J line")
        (folder / "log.txt").unlink()
        await person.press("1")
        await person.sees("over step")
        assert all(len(line) <= size[0] for line in person.lines)

    sit_down(lived_home, play, size)


def test_evaluations_stand_in_a_table_with_the_failures_of_one_below(lived_home: Path) -> None:
    async def play(person: Person) -> None:
        await open_run(person, "sft-256-best")
        await person.press("2")
        await person.sees("50.0%", "33.3%", "16.7%", "3 of 6 are wrong", "wrong_number")
        await person.press("home")
        await person.sees("5 of 6 are wrong", "unclosed_answer", "bad_separator")

    sit_down(lived_home, play)


@pytest.mark.slow
def test_curves_zoom_pan_smooth_and_change_their_axis_and_metrics_by_keys(lived_home: Path) -> None:
    async def play(person: Person) -> None:
        await open_run(person, "sft-curve")
        await person.sees("└1─", "─40")
        await person.press("plus", "plus")
        await person.sees("window 75% to 100%", "└30.25─")  # a live curve grows at this end
        await person.press("left", "left")
        await person.sees("window 62% to 88%")
        await person.press("minus")
        await person.sees("window 50% to 100%")
        await person.press("0", "s")
        await person.sees("smoothed 0.6", "─40")
        await person.press("x")
        await person.sees("over tokens", "─4000")
        await person.press("x")
        await person.sees("over time")
        await person.press("m")
        await person.sees("Metrics to draw", "tokens_total")
        await person.press("down", "space", "enter")
        await person.sees("2 of 2 metrics", "tokens_total")

    sit_down(lived_home, play)


@pytest.mark.slow
def test_a_live_curve_grows_by_its_new_points_alone_and_forgets_what_a_rollback_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = handmade.open_home(tmp_path)
    run = registry.create_run(NewRun("sft", {"kind": "sft"}, "c", "builtin", "d", id="sft-live"))
    asked: list[int] = []
    read = Database.read

    def noted(self: Database, sql: str, given: object = None) -> list[tuple[object, ...]]:
        if "FROM metric WHERE" in sql:
            asked.append(given["first"])  # type: ignore[index]
        return read(self, sql, given)  # type: ignore[arg-type]

    monkeypatch.setattr(Database, "read", noted)
    folder = Workspace(tmp_path).run_folder(run.id)

    async def play(person: Person) -> None:
        with Recorder(registry, run.uuid, folder, interval=0.05) as recorder:
            for step in range(1, 31):
                recorder.metrics(step, {"loss": float(step)})
            recorder.flush()
            await open_run(person, "sft-live")
            await person.sees("loss   30")
            asked.clear()
            recorder.metrics(31, {"loss": 99.0})
            await person.sees("loss   99", "─31")
            assert asked == [31]
            recorder.evaluation(handmade.evaluation([right(10), wrong(11)], step=31))
            await person.sees("accuracy   50.0%")
            recorder.begin_segment(10)
            recorder.metrics(11, {"loss": 7.0})
            await person.sees("loss   7", "─11")
            (curves,) = person.app.screen.query_one(CurvesPane)._curves
            assert [point.step for point in curves.points["loss"]] == list(range(1, 12))

    sit_down(tmp_path, play)
    registry.close()
