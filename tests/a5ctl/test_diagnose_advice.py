"""The commands that `a5ctl diagnose` advises: they exist, and begin where the run began."""

import functools
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from a5ctl.app import app
from core.engines.base import FinishReason
from core.responses.breakdown import OutcomeRow, break_down
from core.responses.causes import (
    CauseContext,
    CauseName,
    Findings,
    FoundCause,
    Sibling,
)
from core.responses.names import FailureClass
from core.responses.verdict import commands_of_run, explain
from tests.a5ctl import handmade
from tests.a5ctl.asking import shown
from tests.a5ctl.handmade import cut, evaluation, unclosed


@pytest.fixture
def home(diagnosed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(diagnosed, tmp_path / "home"))


def test_advice_names_commands_for_what_was_diagnosed(home: Path):
    text = shown(home, "diagnose", "sft-256-aaaa")
    assert "a5ctl diagnose sft-256-aaaa --class unclosed_answer\n" in text
    assert "a5ctl diagnose sft-256-aaaa --against sft-256-aaaa:0\n" in text
    early = shown(home, "diagnose", "sft-256-aaaa", "--step", "0")
    assert "--init" not in early
    assert "a5ctl diagnose sft-256-aaaa\n" in early


@pytest.mark.slow
def test_advice_for_an_evaluation_run_starts_from_its_model(tmp_path: Path):
    answers = [(unclosed if i < 20 else cut)(10 + i) for i in range(40)]
    handmade.record(tmp_path, "eval-ffff", [evaluation(answers)], kind="eval")
    text = shown(tmp_path, "diagnose", "eval-ffff")
    assert "a5ctl run sft --filter correct\n" in text
    assert "--run eval-ffff" not in text
    config = tmp_path / "runs" / "eval-ffff" / "config.toml"
    config.write_text("kind = 'eval'\n", encoding="utf-8")
    assert f"a5ctl run eval --config {config} --max-tokens 512\n" in shown(
        tmp_path, "diagnose", "eval-ffff"
    )
    assert "a5ctl probe eval-ffff --close\n" in shown(tmp_path, "diagnose", "eval-ffff")


@pytest.mark.parametrize("cause", CauseName)
@pytest.mark.parametrize("supervise", ["response", "answer"])
@pytest.mark.parametrize("more_data", [True, False])
def test_advised_commands_exist(cause: CauseName, supervise: str, more_data: bool):
    found = Findings((FoundCause(cause, 3, 1.0, 3, "3 of 3 do"),), boxes=more_data)
    sibling = Sibling("sft-128-bbbb", 128, 256, 0.9, 3, 0.9, 1e-6)
    commands = replace(
        commands_of_run("sft-256-aaaa"), more_data=more_data, supervise=supervise, stops=()
    )
    for failure in FailureClass:
        row = OutcomeRow(failure, False, FinishReason.LENGTH, 256)
        context = CauseContext(cap=256, sibling=sibling)
        told = explain(break_down([row] * 3), found, context=context, commands=commands)
        assert told.causes[0].command == told.advice[0].command
        for advice in told.advice:
            parse_as_typed(advice.command)


@functools.cache
def parse_as_typed(command: str) -> None:
    program, *words = shlex.split(command)
    assert program == "a5ctl"
    node: Any = whole_program()
    while hasattr(node, "commands"):
        node = node.commands[words.pop(0)]
    node.make_context(node.name, words)


@functools.cache
def whole_program() -> Any:
    return get_command(app)
