"""`make bench` knows every benchmark, and calls each with arguments that it takes."""

import ast
import runpy
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
ALL = runpy.run_path(str(FOLDER / "all.py"))
SCRIPTS = sorted(
    path.stem
    for path in FOLDER.glob("*.py")
    if "ArgumentParser" in path.read_text(encoding="utf-8") and path.stem != "all"
)


def test_every_script_is_run_or_left_out_with_a_reason() -> None:
    run = {task.name for task in ALL["TASKS"]}
    assert run.isdisjoint(ALL["LEFT_OUT"])
    assert set(SCRIPTS) <= run | ALL["LEFT_OUT"].keys()


@pytest.mark.parametrize("task", ALL["TASKS"], ids=lambda task: task.name)
def test_scripts_take_what_they_are_given(task) -> None:
    tree = ast.parse((FOLDER / f"{task.name}.py").read_text(encoding="utf-8"))
    known = {
        argument.value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "add_argument"
        for argument in call.args
        if isinstance(argument, ast.Constant)
    }
    given = [*task.arguments, *task.first]
    assert {word for word in given if word.startswith("--")} <= known


def test_a_search_comes_first_and_the_figures_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def run(command: list[str], **_: float) -> subprocess.CompletedProcess[str]:
        called.append(command[2:])
        return subprocess.CompletedProcess(command, returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    task = next(task for task in ALL["TASKS"] if task.name == "sft_speed")
    assert ALL["run"](task, {"data": "D", "peer": "P"}).startswith("done")
    assert called == [["--peer-python", "P", "--data", "D", *more] for more in (["--search"], [])]
    assert {task.name for task in ALL["TASKS"] if task.first} == {"sft_speed", "grpo_speed"}
