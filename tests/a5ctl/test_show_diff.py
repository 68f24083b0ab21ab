"""What two runs do not have in common, and only that."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from a5ctl.app import app
from core.registry.recorder import Recorder
from core.registry.store import Registry, open_registry
from core.workspace import Workspace, open_workspace
from tests.core.registry.conftest import answer, evaluation_result, new_run

PROVENANCE: dict[str, Any] = {
    "argv": ["a5ctl", "run", "sft", "--name", "it's"],
    "git": {"commit": "c0ffee", "dirty": True, "diff": "-old\n+new\n same\n", "diff_cut": False},
    "python": "CPython 3.11",
    "packages": {"torch": "2.13.0", "numpy": "2.0"},
    "machine": {"cpu": "x", "gpus": [], "cores": 2},
    "process": {"host": "here", "pid": 1, "started": "a"},
    "threads": {"torch": 1},
    "environment": {"OMP_NUM_THREADS": "1"},
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = open_workspace(tmp_path_factory.mktemp("diff"))
    registry = open_registry(workspace.registry_url())
    save(registry, workspace, "sft-a", "data", provenance=PROVENANCE)
    save(registry, workspace, "sft-same", "data", provenance=_other_process())
    save(
        registry,
        workspace,
        "sft-b",
        "other",
        config={"kind": "sft", "train": {"lr": 1e-4, "note": "\x1b[31m[bold]"}},
        model="Qwen/" + "long-" * 40,
        model_hash="f00d",
        provenance=PROVENANCE
        | {
            "git": {"commit": "f00d", "dirty": True, "diff": "+other\n same\n", "diff_cut": False},
            "packages": {"torch": "2.14.0", "numpy": "2.0", "vllm": "0.33"},
        },
    )
    registry.create_run(new_run(id="sft-bare", provenance=None))
    return workspace


def save(registry: Registry, workspace: Workspace, run_id: str, data: str, **changes: Any) -> None:
    run = registry.create_run(new_run(id=run_id, **changes))
    with Recorder(registry, run.uuid, workspace.run_folder(run.id)) as recorder:
        recorder.evaluation(evaluation_result([answer(42)], data_hash=data))


def _other_process() -> dict[str, Any]:
    return PROVENANCE | {"process": {"host": "here", "pid": 2, "started": "b"}}


def call(workspace: Workspace, *arguments: str, columns: int | None = 100) -> Result:
    environment = {"COLUMNS": str(columns) if columns else None, "NO_COLOR": "1"}
    runner = CliRunner(env={**environment, "A5CTL_HOME": str(workspace.root)})
    result = runner.invoke(app, ["show", *arguments])
    assert result.exit_code == 0, result.output
    return result


def found(workspace: Workspace, a: str, b: str) -> dict[str, Any]:
    return json.loads(call(workspace, a, "--diff", b, "--json").stdout)


def test_every_section_names_what_differs_and_nothing_else(workspace: Workspace) -> None:
    diff = found(workspace, "sft-a", "sft-b")
    named = {
        section: [(row["name"], row["a"], row["b"]) for row in rows]
        for section, rows in diff["sections"].items()
    }
    assert named["configuration"][0] == ("train.lr", 1e-3, 1e-4)
    assert [row[0] for row in named["data and model"]] == ["model", "model_hash"]
    assert named["code"] == [("git.commit", "c0ffee", "f00d")]
    assert named["environment"] == [
        ("packages.torch", "2.13.0", "2.14.0"),
        ("packages.vllm", None, "0.33"),
    ]
    assert named["protocol"] == [("data_hash", "data", "other")]
    assert diff["sections"]["protocol"][0]["blocking"] is True
    assert diff["patch"][-4:] == ["--old", "-+new", "++other", "  same"]


def test_runs_that_differ_in_their_process_alone_are_alike(workspace: Workspace) -> None:
    assert found(workspace, "sft-a", "sft-same")["differs"] is False
    assert "differ in nothing recorded" in call(workspace, "sft-a", "--diff", "sft-same").output
    assert "are the same run" in call(workspace, "sft-a", "--diff", "sft-a").output


def test_what_was_not_recorded_is_said(workspace: Workspace) -> None:
    output = call(workspace, "sft-a", "--diff", "sft-bare").output
    assert "sft-bare has no evaluation, so there is no protocol to compare" in output
    assert "sft-bare recorded no provenance" in output


@pytest.mark.parametrize("columns", [80, 140])
def test_lines_fit_and_hostile_text_stays_text(workspace: Workspace, columns: int) -> None:
    output = call(workspace, "sft-a", "--diff", "sft-b", columns=columns).output
    assert all(cell_len(line) <= columns for line in output.splitlines())
    assert "\x1b" not in output
    assert "\\x1b[31m[bold]" in output
    assert "! their accuracies do not answer the same question" in output
    assert output.count("long-") >= 40 - 8  # folded, not cut


def test_a_pipe_gets_one_whole_line_per_difference(workspace: Workspace) -> None:
    lines = call(workspace, "sft-a", "--diff", "sft-b", columns=None).output.splitlines()
    (line,) = [line for line in lines if line.startswith("model ")]
    assert line.split() == ["model", "builtin", "Qwen/" + "long-" * 40]


def test_nothing_is_written(workspace: Workspace) -> None:
    path = Path(workspace.root / "registry.db")
    before = path.read_bytes()
    call(workspace, "sft-a", "--diff", "sft-b")
    assert path.read_bytes() == before
