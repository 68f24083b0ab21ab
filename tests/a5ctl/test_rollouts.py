"""Recorded rollouts can be exported, and change nothing that is said about evaluations."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from a5ctl.app import app
from core.config.methods import KeepRollouts
from core.registry.recorder import Recorder
from core.registry.store import RunStatus
from core.workspace import Workspace
from tests.a5ctl import handmade
from tests.rollouts import batch
from tests.rollouts import right as said

FORMULA = "=HYPERLINK(1)\x1b[31m"
FIRST = [handmade.wrong(10), handmade.unclosed(11), handmade.cut(12)]
LAST = [handmade.right(10), handmade.right(11), handmade.cut(12)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with evaluations before and after two batches of rollouts, and one without any."""
    path = tmp_path_factory.mktemp("rolled")
    results = [handmade.evaluation(FIRST, step=0), handmade.evaluation(LAST, step=10)]
    handmade.record(path, "grpo-aaaa", results, kind="grpo")
    handmade.record(path, "sft-bbbb", results)
    return path


def ask(home: Path, *arguments: object) -> Result:
    result = CliRunner().invoke(
        app,
        [*map(str, arguments), "--home", str(home)],
        env={"COLUMNS": "200", "NO_COLOR": "1"},
    )
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


def add_rollouts(home: Path) -> None:
    registry = handmade.open_home(home)
    run = registry.find_run("grpo-aaaa")
    with Recorder(registry, run.uuid, Workspace(home).run_folder(run.id)) as recorder:
        for number, step in enumerate((1, 6)):
            texts = [[said(42), FORMULA], [f"batch {number}", said(7)]]
            recorder.rollouts(batch(texts, number=number, first_step=step), KeepRollouts.ALL)
    registry.set_status(run.uuid, RunStatus.FINISHED)
    registry.close()


def said_by(result: Result) -> str:
    """All but how long the run took, which recording more makes longer."""
    return re.sub(r'"seconds": [0-9.e+-]+', "", result.stdout)


@pytest.mark.slow
def test_rollouts_change_nothing_that_is_said_about_evaluations(home: Path) -> None:
    questions = (
        ("diagnose", "grpo-aaaa", "--json"),
        ("compare", "grpo-aaaa", "sft-bbbb", "--json"),
        ("export", "responses", "grpo-aaaa", "--out", "-"),
    )
    before = [ask(home, *question) for question in questions]
    assert [result.exit_code for result in before] == [0, 0, 0]
    add_rollouts(home)
    after = [ask(home, *question) for question in questions]
    assert list(map(said_by, after)) == list(map(said_by, before))

    exported = ask(home, "export", "responses", "grpo-aaaa", "--rollouts", "--out", "-")
    rows = [json.loads(line) for line in exported.stdout.splitlines()]
    assert [(row["step"], row["problem_id"], row["sample"]) for row in rows] == [
        (step, f"q-{i}", sample) for step in (1, 6) for i in range(2) for sample in range(2)
    ]
    assert (rows[0]["run"], rows[0]["evaluation"], rows[0]["split"]) == ("grpo-aaaa", None, "train")
    assert (rows[0]["truth"], rows[0]["grades"]["strict"]["right"]) == ("42", True)
    assert rows[1]["response"] == FORMULA

    one = ask(
        home,
        *("export", "responses", "grpo-aaaa", "--rollouts", "--step", 6, "--format", "csv"),
        *("--out", home / "rollouts.csv"),
    )
    assert "4 responses of 1 rollout batches" in one.stderr
    assert "\"'=HYPERLINK(1)" in (home / "rollouts.csv").read_text()


def test_what_is_not_there_is_not_exported(home: Path) -> None:
    nothing = ask(home, "export", "responses", "sft-bbbb", "--rollouts", "--out", "-")
    assert nothing.exit_code == 2
    assert "run sft-bbbb has no rollouts" in nothing.stderr
