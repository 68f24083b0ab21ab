"""Two runs side by side: what differs, curves together, and what flipped."""

from pathlib import Path

import pytest

from tests.a5ctl.tui.driven import LARGE, Person, sit_down


async def open_pair(person: Person) -> None:
    items = person.app.runs.model.items
    for wanted in ("sft-128-base", "sft-256-best"):
        place = next(n for n, item in enumerate(items) if item.run.id == wanted)
        person.app.runs.query_one("#runs").cursor = place
        await person.press("space")
    await person.sees("2 marked")
    await person.press("c")


@pytest.mark.slow
def test_differences_curves_and_flips_of_two_marked_runs(lived_home: Path) -> None:
    async def play(person: Person) -> None:
        await open_pair(person)
        await person.sees("A sft-128-base", "B sft-256-best", "train.lr", "0.001", "0.0001")
        await person.press("tab")
        await person.sees("accuracy", "sft-128-base 16.7%", "sft-256-best 50.0%")
        await person.press("3")
        await person.sees("16.7% to 50.0% (+33.3)", "3 fixed, 1 broken", "✓ fixed", "✗ broken")
        await person.sees("so it is 10 </think> <answer> 10 </answer>", "A  p000", "B  p000")
        await person.press("b")
        await person.sees("A  p004", "so it is 15 </think>")
        await person.press("w")
        await person.sees("A sft-256-best", "50.0% to 16.7%", "1 fixed, 3 broken")

    sit_down(lived_home, play, LARGE)


def test_two_runs_must_be_marked_and_runs_without_common_problems_are_refused(
    lived_home: Path,
) -> None:
    async def play(person: Person) -> None:
        await person.press("c")
        await person.hears("0 runs are marked; mark two with space")
        items = person.app.runs.model.items
        for wanted in ("sft-curve", "sft-256-best"):
            place = next(n for n, item in enumerate(items) if item.run.id == wanted)
            person.app.runs.query_one("#runs").cursor = place
            await person.press("space")
        await person.press("c", "3")
        await person.sees("they cannot be compared")
        await person.hears("has no evaluation")

    sit_down(lived_home, play)
