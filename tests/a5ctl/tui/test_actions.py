"""What is done to runs from the screen: labels, and real processes that start, stop and go on."""

import os
import signal
import time
from pathlib import Path

import pytest
from typer.main import get_command

from a5ctl.app import app
from a5ctl.commands.ui import forms
from a5ctl.tui.start_command import LINES, MORE, run_arguments, shown_command
from core.errors import UserError
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House
from tests.a5ctl.tui.conftest import record_curve
from tests.a5ctl.tui.driven import Person, sit_down


@pytest.mark.slow
def test_tags_notes_and_the_archive_are_changed_in_registry_and_run_folder(tmp_path: Path) -> None:
    record_curve(tmp_path, "sft-one", 2, tags=("draft",))
    registry = handmade.open_home(tmp_path)

    async def play(person: Person) -> None:
        await person.press("t")
        await person.sees("Tags of sft-one", "Now: draft")
        await person.type("good -draft")
        await person.press("enter")
        await person.until(lambda: registry.find_run("sft-one").tags == ("good",))
        await person.press("e")
        await person.sees("Note of sft-one")
        await person.type("fine")
        await person.press("ctrl+s")
        await person.until(lambda: registry.find_run("sft-one").note == "fine")
        await person.press("z")
        await person.sees("no run fits")
        assert registry.find_run("sft-one").archived
        await person.press("a", "z")
        await person.until(lambda: not registry.find_run("sft-one").archived)
        await person.press("t")
        await person.type("-")
        await person.press("enter")
        await person.sees("is no tag")

    sit_down(tmp_path, play)
    registry.close()
    labels = (tmp_path / "runs" / "sft-one" / "labels.json").read_text()
    assert '"good"' in labels
    assert '"fine"' in labels


@pytest.mark.slow
def test_what_cannot_be_stopped_or_resumed_is_said(lived_home: Path) -> None:
    async def play(person: Person) -> None:
        await person.press("x")
        await person.hears("finished already")
        await person.press("u")
        await person.hears("there is nothing to resume")

    sit_down(lived_home, play)


def test_every_line_of_the_form_is_an_option_and_its_help() -> None:
    commands = get_command(app).commands["run"].commands  # type: ignore[attr-defined]
    assert forms().keys() == commands.keys()
    for kind, questions in forms().items():
        known = {option: p.help for p in commands[kind].params for option in p.opts}
        *asked, more = questions
        assert all(question.hint.endswith(known[question.option]) for question in asked)
        assert more.name == MORE
    assert {one.name for questions in forms().values() for one in questions} == set(LINES)


def test_the_command_line_is_what_was_typed_and_no_more() -> None:
    answers = {"size": "256", "name": "my run", "run": "other", MORE: "--set train.warmup=0.1"}
    arguments = run_arguments("sft", forms()["sft"], answers)
    assert arguments == [
        *("run", "sft", "--size", "256", "--name", "my run"),
        *("--set", "train.warmup=0.1"),
    ]
    assert shown_command(arguments).startswith("a5ctl run sft --size 256 --name 'my run'")
    with pytest.raises(UserError, match="open quote"):
        run_arguments("sft", forms()["sft"], {MORE: "--name 'x"})


@pytest.mark.slow
def test_the_form_shows_the_command_and_leaves_without_starting(lived_home: Path) -> None:
    async def play(person: Person) -> None:
        await person.press("n")
        await person.sees("a5ctl run sft", "Training problems", "ctrl+s starts it")
        await person.press("down", "down", "down")
        await person.type("256")
        await person.sees("a5ctl run sft --size 256")
        await person.press("escape")
        await person.misses("ctrl+s starts it")

    sit_down(lived_home, play)
    assert not (lived_home / "cache").exists()


@pytest.mark.slow
def test_a_run_is_started_refused_stopped_and_resumed_from_the_screen(house: House) -> None:
    house.home.mkdir()

    async def start(person: Person, *options: str) -> None:
        await person.press("n")
        await person.sees("ctrl+s starts it")
        person.app.screen.query_one(f"#{MORE}").value = " ".join(options)
        await person.press("ctrl+s")
        await person.hears("started: a5ctl run sft")

    async def play(person: Person) -> None:
        await start(person, "--engine", "nonsense")
        await person.hears("run sft ended with 2: error:")
        await start(person, *house.small, "--steps", "3000", "--eval-every", "3000")
        await person.sees("● running")
        await person.until(lambda: _step(person) > 3)
        await person.press("x")
        await person.sees("Stop sft-8-")
        await person.press("enter")  # the safe answer has the focus
        await person.misses("Stop sft-8-")
        assert "● running" in person.text
        await person.press("x", "y")
        await person.sees("■ interrupted")
        stopped_at = _step(person)
        await person.press("u")
        await person.sees("● running")
        await person.until(lambda: _step(person) > stopped_at)

    try:
        sit_down(house.home, play)
    finally:
        left = _processes(house)
        for pid in left:
            os.kill(pid, signal.SIGINT)
    assert len(left) == 1  # it goes on when the screen is closed
    end = time.monotonic() + 60
    while any(_is_there(pid) for pid in left) and time.monotonic() < end:
        time.sleep(0.1)


def _step(person: Person) -> int:
    (entry,) = person.app.runs.model.entries.values()
    return entry.line.step or 0


def _processes(house: House) -> list[int]:
    registry = handmade.open_home(house.home)
    pids = [run.pid for run in registry.runs() if run.pid and run.status == "running"]
    registry.close()
    return [pid for pid in pids if _is_there(pid)]


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
