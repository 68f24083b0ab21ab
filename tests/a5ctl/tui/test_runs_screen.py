"""The list of runs: what it shows, and how it is searched, filtered, sorted and folded."""

from pathlib import Path

import pytest

from core.registry.labels import Labels, relabel
from core.registry.recorder import Recorder
from core.registry.records import NewRun, RunStatus
from core.workspace import Workspace
from tests.a5ctl import handmade
from tests.a5ctl.tui.conftest import record_curve
from tests.a5ctl.tui.driven import LARGE, SMALL, Person, sit_down


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_every_run_has_a_row_with_its_status_accuracy_and_course(
    lived_home: Path, size: tuple[int, int]
) -> None:
    async def play(person: Person) -> None:
        await person.sees("5 runs", "sft-128-base", "sft-256-best", "grpo-lost", "sft-curve")
        best = person.line(" sft-256-best ")
        assert "✓ finished" in best
        assert "50.0%" in best
        assert "▁" in best
        assert "█" in best  # three evaluations, from worse to better
        assert "✗ failed" in person.line(" grpo-lost ")
        await person.until(lambda: "█" in person.line(" sft-curve "))  # its loss
        assert all(len(line) <= size[0] for line in person.lines)

    sit_down(lived_home, play, size)


@pytest.mark.slow
def test_a_wide_screen_shows_the_run_under_the_cursor_beside_the_list(lived_home: Path) -> None:
    async def play(person: Person) -> None:
        person.app.runs.query_one("#runs").cursor = next(
            n for n, item in enumerate(person.app.runs.model.items) if item.run.id == "sft-curve"
        )
        await person.sees("note look here", "loss_spike: the loss jumped", "train.lr 0.001")
        await person.sees("loss   0.05")  # the chart's title ends with the last value
        await person.press("v")
        await person.misses("note look here")

    sit_down(lived_home, play, LARGE)


@pytest.mark.slow
def test_a_search_narrows_the_list_with_every_letter_and_escape_widens_it(lived_home: Path) -> None:
    async def play(person: Person) -> None:
        await person.press("slash")
        await person.type("matrix b")  # a letter typed at once is not lost to the list
        await person.sees("2 of 5 runs")
        await person.type("est")
        await person.sees("1 of 5 runs", "sft-256-best")
        assert "sft-128-base" not in person.text
        await person.press("enter", "escape")
        await person.sees("5 runs", "sft-128-base")

    sit_down(lived_home, play)


@pytest.mark.slow
def test_a_filter_is_that_of_ls_and_a_mistake_in_it_is_answered(lived_home: Path) -> None:
    async def play(person: Person) -> None:
        await person.press("f")
        await person.type("sise > 128")
        await person.press("enter")
        await person.sees("did you mean", "size")
        person.app.runs.query_one("#search").display = False  # the answer came behind an escape
        await person.press("escape")
        await person.misses("did you mean")
        await person.press("f")
        await person.type("data.size > 128 and kind = sft")
        await person.press("enter")
        await person.sees("1 of 5 runs", "where data.size > 128")
        await person.press("f")
        person.app.runs.query_one("#search").value = ""
        await person.press("enter")
        await person.sees("5 runs", "grpo-lost")

    sit_down(lived_home, play)


@pytest.mark.slow
def test_runs_are_sorted_by_a_column_both_ways_and_what_is_missing_comes_last(
    lived_home: Path,
) -> None:
    async def play(person: Person) -> None:
        def order() -> list[str]:
            return [item.run.id for item in person.app.runs.model.items]

        await person.press("s")
        await person.sees("Sort by")
        await person.press("j", "j", "j", "j", "enter")  # newest, run, kind, status, accuracy
        await person.sees("accuracy▼"[:8])
        assert order()[:2] == ["sft-evil", "sft-256-best"]  # equal ones: the newest first
        await person.press("S")
        assert order()[0] == "sft-128-base"
        assert set(order()[-2:]) == {"grpo-lost", "sft-curve"}
        await person.app.runs.query_one("#runs").run_action("top")
        person.app.runs._sort_by("run")
        assert order() == sorted(order())

    sit_down(lived_home, play)


def test_groups_fold_into_one_row_each_and_enter_opens_one(lived_home: Path) -> None:
    async def play(person: Person) -> None:
        await person.press("g")
        await person.sees("▸ matrix (2)", "✓2", "33.3%")
        assert "sft-128-base" not in person.text
        assert "5 runs" in person.text
        items = person.app.runs.model.items
        place = next(n for n, item in enumerate(items) if hasattr(item, "group"))
        person.app.runs.query_one("#runs").cursor = place
        await person.press("enter")
        await person.sees("▾ matrix (2)", "  sft-128-base", "  sft-256-best")

    sit_down(lived_home, play)


@pytest.mark.slow
def test_a_run_that_is_recorded_meanwhile_grows_on_the_screen(tmp_path: Path) -> None:
    record_curve(tmp_path, "sft-old", 3)
    registry = handmade.open_home(tmp_path)

    async def play(person: Person) -> None:
        run = registry.create_run(
            NewRun("sft", {"kind": "sft"}, "c", "builtin", "d", id="sft-live")
        )
        await person.sees("2 runs", "○ queued")
        folder = Workspace(tmp_path).run_folder(run.id)
        with Recorder(registry, run.uuid, folder, interval=0.05) as recorder:
            recorder.metrics(7, {"loss": 1.0})
            await person.until(lambda: " 7 " in person.line("sft-live"))
            assert "● running" in person.line("sft-live")
            recorder.metrics(8, {"loss": 0.5})
            await person.until(lambda: " 8 " in person.line("sft-live"))
        await person.until(lambda: "✓ finished" in person.line("sft-live"))
        registry.delete_run(run.uuid)
        await person.misses("sft-live")
        await person.sees("1 run")

    sit_down(tmp_path, play)
    registry.close()


@pytest.mark.slow
def test_archived_runs_are_out_of_sight_until_asked_for(tmp_path: Path) -> None:
    record_curve(tmp_path, "sft-kept", 2)
    record_curve(tmp_path, "sft-gone", 2)
    registry = handmade.open_home(tmp_path)

    async def play(person: Person) -> None:
        await person.sees("2 runs")
        run = registry.find_run("sft-gone")
        relabel(registry.database, run, tmp_path / "nowhere", lambda _: Labels(archived=True))
        await person.misses("sft-gone")
        await person.press("a")
        await person.sees("sft-gone", "with the archive")

    sit_down(tmp_path, play)
    registry.close()


@pytest.mark.slow
def test_a_workspace_without_a_registry_says_how_to_begin_and_fills_when_one_comes(
    tmp_path: Path,
) -> None:
    async def play(person: Person) -> None:
        await person.sees("no runs yet: n starts one")
        handmade.record(tmp_path, "sft-first", [], status=RunStatus.INTERRUPTED)
        await person.sees("sft-first", "■ interrupted")

    sit_down(tmp_path, play)


@pytest.mark.slow
def test_the_help_names_every_key_and_the_palette_finds_actions_by_name(lived_home: Path) -> None:
    async def play(person: Person) -> None:
        await person.press("question_mark")
        await person.sees("Keys of this screen", "Compare", "Filter", "Archive or bring back")
        await person.press("escape", "ctrl+p")
        await person.type("groups")
        await person.sees("Fold the runs of a group into one row")
        await person.press("enter")
        await person.sees("▸ matrix (2)")

    sit_down(lived_home, play, LARGE)


def test_without_colours_signs_and_letters_tell_things_apart(
    lived_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def play(person: Person) -> None:
        await person.sees("✗ failed", "✓ finished")
        strips = person.app.screen._compositor.render_strips()
        styles = [segment.style for strip in strips for segment in strip if segment.style]
        shades = {style.color.triplet for style in styles if style.color}
        assert all(shade is None or len(set(shade)) == 1 for shade in shades)  # greys only

    sit_down(lived_home, play)
