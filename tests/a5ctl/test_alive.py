"""Commands and runs that may be alive: nothing is begun twice, nothing alive is removed."""

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from a5ctl.app import app
from core.registry.live_runs import held
from core.registry.store import Registry, RunRecord, open_registry
from core.workspace import Workspace, open_workspace
from tests.core.registry.conftest import new_run


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("A5CTL_HOME", str(tmp_path / "house"))
    monkeypatch.delenv("A5CTL_REGISTRY", raising=False)
    return open_workspace()


@pytest.fixture
def registry(workspace: Workspace) -> Registry:
    return open_registry(workspace.registry_url())


@pytest.fixture
def run(registry: Registry, workspace: Workspace) -> RunRecord:
    made = registry.create_run(new_run(id="sft-256-test"))
    workspace.run_folder(made.id).mkdir(parents=True)
    return made


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments])


def silent_elsewhere(registry: Registry, run: RunRecord) -> None:
    with registry.database.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE run SET status = 'running', host = 'far', heartbeat = {time.time() - 600} "
            f"WHERE key = {run.key}"
        )


def test_a_run_whose_folder_a_process_holds_is_not_resumed_even_if_it_was_closed(
    workspace: Workspace, run: RunRecord
) -> None:
    with held(run.id, workspace.run_folder(run.id)):
        closed = command("close", run.id, "--force")
        done = command("resume", run.id)
    assert closed.exit_code == 0
    assert "holds it still, and makes it running again if it wakes up" in closed.output
    assert done.exit_code == 2
    words = " ".join(done.output.split())
    assert "is interrupted, but a process holds its folder" in words
    assert "kill -CONT, or end it with kill -KILL" in words


def test_resuming_a_run_that_went_silent_elsewhere_says_what_to_look_out_for(
    registry: Registry, run: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed = []
    monkeypatch.setattr("a5ctl.launch.launch_resume", lambda run, *_, **__: resumed.append(run.id))
    silent_elsewhere(registry, run)
    done = command("resume", run.id)
    assert done.exit_code == 0, done.output
    assert "last heard of on far" in " ".join(done.output.split())
    assert resumed == [run.id]


@pytest.mark.slow
def test_a_silent_run_is_closed_without_force_and_one_that_speaks_only_with_it(
    registry: Registry, run: RunRecord
) -> None:
    silent_elsewhere(registry, run)
    assert command("delete", run.id, "--yes").exit_code == 2
    assert command("close", run.id).exit_code == 0
    assert registry.run_by_uuid(run.uuid).status == "interrupted"
    assert command("delete", run.id, "--yes").exit_code == 0
    talking = registry.create_run(new_run(id="sft-256-loud"))
    assert command("close", talking.id).exit_code == 2
    assert command("close", talking.id, "--force").exit_code == 0
