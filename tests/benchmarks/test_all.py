"""`make bench` knows every benchmark, and calls each with arguments that it takes."""

import ast
import runpy
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
    assert {word for word in task.arguments if word.startswith("--")} <= known
