"""Recording a file and grading again, killed while they write, or two of them at once."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import core.regrading
from a5ctl.app import app
from core.registry.store import Registry
from core.regrading import regrade
from core.responses.names import GRADER_VERSIONS, GraderName
from tests.a5ctl import handmade
from tests.a5ctl.conftest import ROOT
from tests.a5ctl.handmade import evaluation, right, unclosed, wrong
from tests.a5ctl.held import HELD, held

ANSWERS = [right(10), wrong(11), unclosed(12)]
TABLES = ("run", "evaluation", "problem", "protocol", "response", "grade", "event")
NEW_VERSION = (
    "from core.responses import names; names.GRADER_VERSIONS[names.GraderName.STRICT] += 1"
)


def kill_in_the_middle(
    home: Path, *arguments: object, module: str, function: str, call: int, more: str = ""
) -> None:
    """Start the program, and end it at once when a function has done its work that many times."""
    entry = held(module, function, call=call, more=more)
    process = subprocess.Popen(
        [sys.executable, *entry, *map(str, arguments), "--home", str(home)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{HELD}\n"
        process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))


def counted(registry: Registry) -> dict[str, int]:
    return {name: registry.database.read(f"SELECT COUNT(*) FROM {name}")[0][0] for name in TABLES}


def ask(home: Path, *arguments: object) -> None:
    result = CliRunner().invoke(app, [*map(str, arguments), "--home", str(home)])
    assert result.exit_code == 0, result.output


def write_dump(path: Path, steps: int, responses: int) -> Path:
    lines = [
        {
            "question": f"How many is {i} + 1?",
            "response": f" sum </think> <answer> {i + 1} </answer>",
            "answer": str(i + 1),
            "step": step,
        }
        for step in range(steps)
        for i in range(responses)
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_kill_while_a_file_is_recorded_leaves_no_trace(tmp_path: Path, call: int) -> None:
    dump, home = write_dump(tmp_path / "d.jsonl", steps=3, responses=4), tmp_path / "home"
    home.mkdir()
    handmade.record(home, "r-before", [evaluation(ANSWERS)])
    before = counted(handmade.open_home(home))
    kill_in_the_middle(
        home,
        *("grade", dump, "--record"),
        module="core.registry.response_writes",
        function="_insert_batch",
        call=call,
    )
    registry = handmade.open_home(home)
    assert counted(registry) == before
    assert [path.name for path in (home / "runs").iterdir()] == ["r-before"]
    ask(home, "grade", dump, "--record")
    after = counted(registry)
    assert after["response"] - before["response"] == 12
    assert after["evaluation"] - before["evaluation"] == 3


@pytest.mark.slow
def test_a_kill_while_grading_again_leaves_whole_evaluations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handmade.record(tmp_path, "r-a", [evaluation(ANSWERS, step=step) for step in (0, 5, 10)])
    kill_in_the_middle(
        tmp_path,
        *("regrade", "r-a"),
        module="core.registry.regrade_writes",
        function="_follow",
        call=2,
        more=NEW_VERSION,
    )
    registry = handmade.open_home(tmp_path)
    sql = """SELECT e.step, COUNT(*) FROM grade g JOIN response x ON x.key = g.response
        JOIN evaluation e ON e.key = x.evaluation
        WHERE g.grader = 'strict' AND g.version = :version GROUP BY e.step"""
    new = {"version": GRADER_VERSIONS[GraderName.STRICT] + 1}
    assert registry.database.read(sql, new) == [(0, 3)]
    assert counted(registry)["event"] == 1
    monkeypatch.setitem(GRADER_VERSIONS, GraderName.STRICT, new["version"])
    ask(tmp_path, "regrade", "r-a")
    assert registry.database.read(sql, new) == [(0, 3), (5, 3), (10, 3)]
    assert counted(registry)["event"] == 3


def test_two_that_grade_again_at_once_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = handmade.record(tmp_path, "r-a", [evaluation(ANSWERS)])
    monkeypatch.setitem(
        GRADER_VERSIONS, GraderName.R1_ZERO, GRADER_VERSIONS[GraderName.R1_ZERO] + 1
    )
    store = core.regrading.store_regrade
    folder = tmp_path / "runs" / "r-a"

    def overtaken(*arguments: object) -> object:
        monkeypatch.setattr(core.regrading, "store_regrade", store)
        other = handmade.open_home(tmp_path)
        assert [done.responses for done in regrade(other, run, folder, list(GraderName))] == [3]
        return store(*arguments)

    monkeypatch.setattr(core.regrading, "store_regrade", overtaken)
    registry = handmade.open_home(tmp_path)
    list(regrade(registry, run, folder, list(GraderName)))
    found = counted(registry)
    # multiple_choice judges none of these; r1_zero judges them once more
    assert found["grade"] == 3 * (len(GraderName) - 1 + 1)
    assert found["event"] == 1
    (stored,) = registry.evaluations([run.uuid])
    assert stored.protocol["grader_version"] == GRADER_VERSIONS[GraderName.R1_ZERO]
    assert stored.accuracy == pytest.approx(1 / 3)
    assert registry.run_by_uuid(run.uuid).protocol_hash == f"{stored.generation}:{stored.grading}"
