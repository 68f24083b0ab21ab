"""One run with everything that is known about it."""

import json
import math
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from a5ctl.commands.show import show
from core.registry.recorder import Recorder
from core.registry.store import Registry, open_registry
from core.workspace import Workspace, open_workspace
from tests.core.registry.conftest import answer, evaluation_result, new_run


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path)


@pytest.fixture
def registry(workspace: Workspace) -> Registry:
    return open_registry(workspace.registry_url())


@pytest.fixture
def shown(registry: Registry, workspace: Workspace) -> str:
    """A run that holds something of everything; its id."""
    parent = registry.create_run(new_run(id="sft-128-aaaa"))
    run = registry.create_run(
        new_run(id="sft-256-bbbb", parent_uuid=parent.uuid, note="[red]a note\x1b[2J")
    )
    registry.create_run(new_run(id="sft-512-cccc", parent_uuid=run.uuid))
    folder = workspace.run_folder(run.id)
    with Recorder(registry, run.uuid, folder) as recorder:
        for step in range(1, 50):
            recorder.metrics(step, {"loss": 1 / step, "grad_norm": math.inf})
        recorder.evaluation(evaluation_result([answer(42), answer(1)], step=49))
        for number in range(20):
            recorder.event("warning", "alarm", f"alarm {number} \x1b[31m[/bold]", step=number)
        (folder / "weights").write_text("x")
        (folder / "pruned").write_text("x")
        recorder.artifact("checkpoint", folder / "weights")
        recorder.artifact("checkpoint", folder / "pruned")
        recorder.flush()
        (folder / "pruned").unlink()
        recorder.finish("failed", "loss is nan", traceback="Traceback: [bold]boom")
    return run.id


def call(workspace: Workspace, *arguments: str, columns: int = 100) -> Result:
    """Run the command."""
    app = typer.Typer()
    app.command("show")(show)
    environment = {"COLUMNS": str(columns), "NO_COLOR": "1", "A5CTL_HOME": str(workspace.root)}
    return CliRunner(env=environment).invoke(app, list(arguments))


def test_every_section_is_there(workspace: Workspace, shown: str) -> None:
    output = call(workspace, shown).output
    assert "failed: loss is nan" in output
    assert "from run  sft-128-aaaa" in output
    assert "led to    sft-512-cccc" in output
    assert "1/1/0" in output
    assert "lr = 0.001" in output
    assert "git.commit" in output
    assert "alarm 19" in output
    assert "5 earlier ones" in output
    assert "Traceback: [bold]boom" in output
    assert f"a5ctl resume {shown}" in output
    assert f"a5ctl diagnose {shown}" in output


def test_a_curve_falls_and_a_value_that_is_not_finite_is_named(
    workspace: Workspace, shown: str
) -> None:
    lines = call(workspace, shown).output.splitlines()
    loss = next(line for line in lines if line.startswith("loss"))
    assert "█" in loss
    assert loss.rstrip().endswith("▁")
    assert "inf" in next(line for line in lines if line.startswith("grad_norm"))


def test_artifacts_that_were_deleted_say_so(workspace: Workspace, shown: str) -> None:
    lines = call(workspace, shown).output.splitlines()
    assert "deleted since" in next(line for line in lines if " pruned " in line)
    assert "deleted since" not in next(line for line in lines if " weights " in line)


def test_hostile_text_stays_text(workspace: Workspace, shown: str) -> None:
    output = call(workspace, shown).output
    assert "\x1b" not in output
    assert "[red]a note\\x1b[2J" in output
    assert "alarm 19 \\x1b[31m[/bold]" in output


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_lines_fit(workspace: Workspace, shown: str, columns: int) -> None:
    lines = call(workspace, shown, columns=columns).output.splitlines()
    assert max(len(line) for line in lines) <= columns


def test_json_is_complete_and_strict(workspace: Workspace, shown: str) -> None:
    report = json.loads(call(workspace, shown, "--json").stdout)
    assert report["id"] == shown
    assert (report["status"], report["parent_id"]) == ("failed", "sft-128-aaaa")
    assert report["children"] == ["sft-512-cccc"]
    assert report["config"]["train"] == {"lr": 0.001}
    assert report["metrics"]["grad_norm"]["last"] == "inf"
    assert report["metrics"]["loss"]["last_step"] == 49
    assert report["evaluations"][0]["accuracy"] == 0.5
    assert len(report["events"]) == 20
    assert len(report["artifacts"]) == 2
    assert report["provenance"]["git"]["commit"] == "c0ffee"


def test_a_run_without_anything_is_shown_too(registry: Registry, workspace: Workspace) -> None:
    run = registry.create_run(new_run(provenance=None))
    output = call(workspace, run.id).output
    assert "queued" in output
    assert "Evaluations" not in output


def test_a_deleted_parent_is_named_by_its_identity(
    registry: Registry, workspace: Workspace
) -> None:
    run = registry.create_run(new_run(parent_uuid="f00d"))
    assert "f00d (deleted)" in call(workspace, run.id).output
