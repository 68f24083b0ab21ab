"""Printed commands that train, sample or ask a model are carried out on a very small one."""

import os
import shutil
import signal
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from core.plans.load import load_plan
from tests.a5ctl.conftest import House
from tests.docs.account import MADE, RESUMED, executed_by
from tests.docs.printed import Line
from tests.docs.workshop import at_hand, furnish
from tests.models import write_model

Call = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]
_CELL = "1f3a9c2e"
_FOLDER = "runs/sft-256-k3f9"
_NAME = "stopped-here"
_AFRESH = ("pairs", "import")
"""Commands that refuse to write what is there, or that change what others read."""


def _calls() -> dict[Call, Line]:
    """What is to be done, each once, with the first line that asks for it."""
    found: dict[Call, Line] = {}
    for line in executed_by(MADE):
        words = tuple(at_hand(line.words()[1:]))
        found.setdefault((words, tuple(line.variables().items())), line)
    return found


CALLS = _calls()


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> House:
    place = tmp_path_factory.mktemp("workshop")
    write_model(place / "model")
    (place / "home").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place / "home")
        return furnish(place, place / "home")


def carried_out(house: House, words: tuple[str, ...], line: Line) -> str:
    """Carry a command out; returns what it printed."""
    told = house.run(*words)
    trace = "".join(traceback.format_exception(*told.exc_info)) if told.exc_info else ""
    # where the code is being changed while this runs, it is not as recorded
    differs = words[0] == "reproduce" and "not as recorded" in told.output
    ends = (0, 1) if differs else (0,)
    assert told.exit_code in ends, f"{line}\n{words}\n{told.output}\n{trace}"
    assert "Traceback" not in told.output
    return told.stdout


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS, ids=lambda call: " ".join(call[0])[:60])
def test_a_printed_command_makes_what_it_says(
    workshop: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    words, variables = call
    house = workshop
    if words[0] in _AFRESH:
        house = copy_of(workshop, tmp_path / "home")
        (house.home / "pairs.jsonl").unlink()
    monkeypatch.chdir(house.home)
    monkeypatch.setattr("typer.launch", lambda _: 0)  # the browser
    for name, value in variables:
        monkeypatch.setenv(name, value)
        if name == "CUDA_VISIBLE_DEVICES":
            shown = [f"{uuid}-0000" for uuid in value.split(",")]
            monkeypatch.setattr("core.engines.devices.gpu_uuids", lambda shown=shown: shown)
            monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if _CELL in words:
        cell = load_plan(house.home / "plan.toml").cells[0].id
        words = tuple(cell if word == _CELL else word for word in words)
    if _FOLDER in words:
        words = ("import", f"runs/{house.json('show', 'sft-256-k3f9')['id']}")
    carried_out(house, words, CALLS[call])


def copy_of(house: House, home: Path) -> House:
    shutil.copytree(house.home, home, symlinks=True)
    return House(home, house.model, house.data, house.small)


@pytest.mark.slow
def test_what_the_pages_stop_goes_on_as_they_say(
    workshop: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a page stops a run by the clock, here its second update does."""
    stops = [line for line in executed_by(RESUMED) if "timeout" in line.words()]
    resumes = [line for line in executed_by(RESUMED) if line not in stops]
    assert len(stops) == 1
    assert len(resumes) >= 3
    before = copy_of(workshop, tmp_path / "before")
    (words,) = [line.words() for line in stops]
    words = at_hand(words[words.index("a5ctl") + 1 :])
    with monkeypatch.context() as patch:
        patch.chdir(before.home)
        stopped_in_its_second_update(patch)
        told = before.run(*words, "--steps", "3")
    assert told.exit_code == 130, told.output
    for number, (words, line) in enumerate({resuming(line): line for line in resumes}.items()):
        house = copy_of(before, tmp_path / str(number))
        monkeypatch.chdir(house.home)
        carried_out(house, words, line)
        (found,) = house.json("ls", "--where", f"name = {_NAME}")
        assert found["status"] == "finished"


def resuming(line: Line) -> tuple[str, ...]:
    """The words of a line, with the run that was stopped in place of the one it names."""
    words = line.words()[1:]
    run = next(word for word in words[1:] if not word.startswith("-"))
    return tuple(at_hand([_NAME if word == run else word for word in words]))


def stopped_in_its_second_update(patch: pytest.MonkeyPatch) -> None:
    from trainers.sft import SFT

    update, calls = SFT.update, []

    def stopped(self: SFT, *arguments: Any, **given: Any) -> Mapping[str, float]:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return update(self, *arguments, **given)

    patch.setattr(SFT, "update", stopped)
