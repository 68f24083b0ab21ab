"""The list of runs, and closing one by hand."""

import json
from pathlib import Path

import pytest
import typer
from rich.cells import cell_len
from rich.text import Text
from typer.testing import CliRunner, Result

from a5ctl.commands.close import close
from a5ctl.commands.ls import ls
from a5ctl.tables.fit import FitColumn, choose_columns
from a5ctl.tables.runs import age
from core.errors import UserError
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


def call(workspace: Workspace, *arguments: str, columns: int | None = 100) -> Result:
    """Run one of the commands; without columns as if into a pipe."""
    app = typer.Typer()
    app.command("ls")(ls)
    app.command("close")(close)
    environment = {"COLUMNS": str(columns) if columns else None, "NO_COLOR": "1"}
    runner = CliRunner(env={**environment, "A5CTL_HOME": str(workspace.root)})
    return runner.invoke(app, list(arguments))


def record(registry: Registry, workspace: Workspace, **changes: object) -> str:
    """A finished run that was evaluated; returns its id."""
    run = registry.create_run(new_run(**changes))
    with Recorder(registry, run.uuid, workspace.run_folder(run.id)) as recorder:
        recorder.metrics(8, {"loss": 0.5})
        recorder.evaluation(evaluation_result([answer(1), answer(1)], step=0))
        recorder.evaluation(evaluation_result([answer(42), answer(1)], step=8))
    return run.id


def test_an_empty_registry_says_what_to_do_next(workspace: Workspace) -> None:
    result = call(workspace, "ls")
    assert result.exit_code == 0
    assert "a5ctl run sft --size 256" in result.output.replace("\n", " ")
    assert not (workspace.root / "registry.db").exists()
    assert json.loads(call(workspace, "ls", "--json").stdout) == []


def test_a_run_is_shown_with_its_last_accuracy(registry: Registry, workspace: Workspace) -> None:
    run_id = record(registry, workspace)
    row = call(workspace, "ls").output.splitlines()[1].split()
    assert row[:4] == [run_id, "sft", "finished", "50.0%"]
    (shown,) = json.loads(call(workspace, "ls", "--json").stdout)
    assert (shown["id"], shown["status"], shown["accuracy"]) == (run_id, "finished", 0.5)
    assert (shown["step"], shown["evaluated_step"], shown["n"]) == (8, 8, 2)
    assert shown["created"].endswith("+00:00")


@pytest.mark.parametrize("columns", [40, 80, 140])
def test_the_list_fits_and_keeps_what_matters(
    registry: Registry, workspace: Workspace, columns: int
) -> None:
    run_id = record(
        registry,
        workspace,
        name="a rather long name for people " * 2,
        group="matrix-abcd",
        model="Qwen/Qwen2.5-Math-1.5B-Instruct",
    )
    lines = call(workspace, "ls", columns=columns).output.splitlines()
    assert len(lines) == 2
    assert all(cell_len(line) <= columns for line in lines)
    assert run_id in lines[1]
    assert "50.0%" in lines[1]
    assert ("matrix-abcd" in lines[1]) == (columns == 140)


def test_a_pipe_gets_whole_lines(registry: Registry, workspace: Workspace) -> None:
    name = "long " * 60
    record(registry, workspace, name=name)
    lines = call(workspace, "ls", columns=None).output.splitlines()
    assert len(lines) == 2
    assert lines[1].endswith(name.strip())
    assert "\x1b" not in lines[1]


def test_hostile_names_cannot_reach_the_terminal(registry: Registry, workspace: Workspace) -> None:
    record(registry, workspace, name="\x1b]0;owned\x07[bold]\u202e")
    output = call(workspace, "ls", columns=200).output
    assert "\x1b" not in output
    assert "\u202e" not in output
    assert "\\x1b]0;owned\\x07[bold]\\u202e" in output


def test_a_name_with_line_breaks_stays_on_its_line(
    registry: Registry, workspace: Workspace
) -> None:
    record(registry, workspace, name="one\ntwo\tthree")
    lines = call(workspace, "ls", columns=200).output.splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("one two three")


def test_filters_and_limit(registry: Registry, workspace: Workspace) -> None:
    first = registry.create_run(new_run(kind="eval", group="g")).id
    second = registry.create_run(new_run(group="g")).id
    registry.set_status(registry.find_run(second).uuid, "failed")
    assert _ids(workspace, "--kind", "eval") == [first]
    assert _ids(workspace, "--group", "g") == [second, first]
    assert _ids(workspace, "--status", "failed") == [second]
    assert _ids(workspace, "--limit", "1") == [second]
    assert "1 older run not shown" in call(workspace, "ls", "--limit", "1").output
    assert "No run fits these filters" in call(workspace, "ls", "--group", "other").output


def test_an_unknown_status_is_refused(workspace: Workspace) -> None:
    error = call(workspace, "ls", "--status", "done").exception
    assert isinstance(error, UserError)
    assert "choose one of queued, running" in str(error)


def test_a_live_run_is_only_closed_by_force(registry: Registry, workspace: Workspace) -> None:
    run = registry.create_run(new_run())
    error = call(workspace, "close", run.id).exception
    assert isinstance(error, UserError)
    assert "is alive" in str(error)
    result = call(workspace, "close", run.id, "--force")
    assert result.exit_code == 0
    assert f"a5ctl resume {run.id}" in result.output
    assert registry.run_by_uuid(run.uuid).status == "interrupted"
    assert "nothing to close" in str(call(workspace, "close", run.id).exception)


def test_a_lost_run_is_closed_without_force(registry: Registry, workspace: Workspace) -> None:
    run = registry.create_run(new_run())
    with registry.database.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET pid = 0, status = 'running'")
    assert _ids(workspace, "--status", "lost") == [run.id]
    assert call(workspace, "close", run.id).exit_code == 0
    settled = registry.run_by_uuid(run.uuid)
    assert (settled.status, settled.exit_reason) == ("interrupted", "closed by hand")


def test_the_least_important_column_goes_first() -> None:
    columns = [FitColumn(name, [Text("x" * 10)], importance) for name, importance in
               (("id", 9), ("model", 1), ("step", 5))]  # fmt: skip
    assert [c.header for c in choose_columns(columns, 100)] == ["id", "model", "step"]
    assert [c.header for c in choose_columns(columns, 25)] == ["id", "step"]
    assert [c.header for c in choose_columns(columns, 1)] == ["id"]


def test_columns_without_content_are_left_out() -> None:
    columns = [FitColumn("id", [Text("a")], 1), FitColumn("name", [Text("")], 2)]
    assert [c.header for c in choose_columns(columns, 100)] == ["id"]


def test_ages_are_rough() -> None:
    assert [age(s) for s in (5, 61, 7300, 3 * 86400)] == ["5s", "1m", "2h", "3d"]


def _ids(workspace: Workspace, *arguments: str) -> list[str]:
    return [run["id"] for run in json.loads(call(workspace, "ls", "--json", *arguments).stdout)]
