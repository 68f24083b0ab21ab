"""The program on a registry that lies on a server, named by A5CTL_REGISTRY or by an option."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from core.registry.copying import copy_registry
from core.registry.database import Database
from core.registry.figures import registry_figures
from core.workspace import Workspace
from tests.core.registry.postgresql.server import PASSWORD, Server

Command = Callable[..., Result]


@pytest.fixture(scope="module")
def stocked(house: Workspace, server: Server) -> str:
    """A database with the registry of the house; its name."""
    url = server.new_registry()
    target = Database(url)
    copy_registry(Database(house.registry_url()), target)
    target.close()
    return url.rpartition("/")[2]


@pytest.fixture
def filled(server: Server, stocked: str) -> str:
    """A copy of it; its URL."""
    return server.url(server.new_database(stocked))


@pytest.fixture
def a5ctl(tmp_path: Path, filled: str) -> Command:
    """Runs the program in an empty workspace; what it says never has the password in it."""
    from a5ctl.app import app

    def run(*arguments: object, url: str = filled, **options: str) -> Result:
        environment = {"A5CTL_HOME": str(tmp_path), "COLUMNS": "120", "NO_COLOR": "1"}
        runner = CliRunner(env={**environment, "A5CTL_REGISTRY": url})
        result = runner.invoke(app, [str(a) for a in arguments], **options)
        assert PASSWORD not in result.output
        return result

    return run


READING = (
    ("ls", "--where", "kind = sft and accuracy >= 0.4", "--columns", "id,name,accuracy,step"),
    ("ls", "--columns", "id,train.lr,metric.loss,took", "--sort", "-metric.loss", "--json"),
    ("show", "sft-256-aaaa", "--diff", "sft-256-bbbb"),
    ("compare", "sft-256-aaaa", "sft-256-bbbb"),
    ("diagnose", "sft-256-bbbb", "--against", "sft-256-aaaa"),
    ("registry", "stats"),
    ("registry", "migrate"),
    ("export", "responses", "sft-256-aaaa", "--out", "{out}"),
)


@pytest.mark.parametrize("arguments", READING, ids=lambda arguments: " ".join(arguments[:2]))
def test_what_reads_a_file_reads_a_server(
    a5ctl: Command, house: Workspace, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    from_file, from_server = (
        a5ctl(*(part.format(out=tmp_path / f"{name}.jsonl") for part in arguments), **options)
        for name, options in (("file", {"url": house.registry_url()}), ("server", {}))
    )
    assert (from_server.exit_code, from_file.exit_code) == (0, 0), from_server.output
    if arguments[0] != "registry":
        assert from_server.output.replace("server.jsonl", "file.jsonl") == from_file.output


@pytest.mark.slow
def test_labels_are_changed_and_runs_deleted(a5ctl: Command) -> None:
    for arguments in (
        ("tag", "sft-256-aaaa", "+great", "-a"),
        ("note", "sft-256-aaaa", "it works"),
        ("archive", "sft-256-bbbb"),
        ("delete", "grpo-cccc", "--yes"),
    ):
        assert a5ctl(*arguments).exit_code == 0, arguments
    shown = json.loads(a5ctl("ls", "--columns", "id,tags,note", "--json").stdout)
    assert [run["id"] for run in _runs(shown)] == ["sft-256-aaaa"]
    assert '"great"' in json.dumps(shown)
    assert "it works" in json.dumps(shown)
    assert "sft-256-bbbb" in a5ctl("ls", "--archived").stdout


@pytest.mark.slow
def test_run_folders_are_imported(a5ctl: Command, house: Workspace, server: Server) -> None:
    url = server.new_registry()
    for folder in sorted(house.runs_dir.iterdir()):
        result = a5ctl("import", folder, url=url)
        assert result.exit_code == 0, result.output
    assert a5ctl("ls", "--json", url=url).stdout.count('"id"') == 3


def test_figures_count_the_rows_and_the_room_on_the_server(filled: str, house: Workspace) -> None:
    there = registry_figures(Database(filled), house)
    here = registry_figures(Database(house.registry_url()), house)
    assert (there.rows, there.runs, there.version) == (here.rows, here.runs, here.version)
    assert there.file_bytes > 0
    assert (there.log_bytes, there.free_bytes) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "instead"),
    [
        (("registry", "check"), "registry copy --to FILE makes one"),
        (("registry", "backup", "x.db"), "or the server's pg_dump"),
        (("registry", "repair"), "a5ctl registry copy --from FILE"),
        (("registry", "gc"), "VACUUM"),
        (("sql", "select 1"), "ask this server with psql"),
    ],
)
def test_what_looks_after_files_names_what_does_the_same_for_servers(
    a5ctl: Command, arguments: tuple[str, ...], instead: str
) -> None:
    result = a5ctl(*arguments)
    assert result.exit_code == 2
    assert instead in " ".join(result.output.split())


def test_a_server_that_is_down_is_said_in_one_sentence(a5ctl: Command) -> None:
    result = a5ctl("ls", url=f"postgresql://me:{PASSWORD}@127.0.0.1:1/runs")
    assert result.exit_code == 2
    said = " ".join(result.output.split())
    assert said.startswith("error: registry postgresql://127.0.0.1:1/runs cannot be reached (")
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_copy_says_what_it_holds(a5ctl: Command, tmp_path: Path, filled: str) -> None:
    file = tmp_path / "copy.db"
    result = a5ctl("registry", "copy", "--to", file)
    assert result.exit_code == 0
    assert "holds 3 runs of postgresql://127.0.0.1" in " ".join(result.output.split())
    again = a5ctl("registry", "copy", "--to", filled, "--from", file)
    assert again.exit_code == 2
    assert "holds 3 runs already" in " ".join(again.output.split())


@pytest.mark.slow
def test_a_copy_as_json(a5ctl: Command, server: Server, filled: str) -> None:
    made = json.loads(a5ctl("registry", "copy", "--to", server.new_registry(), "--json").stdout)
    assert made["same"] is True
    assert made["rows"]["run"] == 3
    assert (made["different"], made["alive"]) == ({}, [])


@pytest.mark.slow
def test_a_copy_that_differs_ends_with_1(
    a5ctl: Command, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.registry.copying.copy._differences", lambda *_: 1)
    result = a5ctl("registry", "copy", "--to", server.new_registry())
    assert result.exit_code == 1
    assert "was left empty: 1 row of" in " ".join(result.output.split())


def test_notebooks_read_a_server(filled: str, house: Workspace) -> None:
    pytest.importorskip("pandas")
    from core.registry import open_registry

    here, there = open_registry(house.root), open_registry(house.root, registry=filled)
    columns = "id,kind,size,accuracy,tags,metric.loss"
    assert there.runs(columns=columns).equals(here.runs(columns=columns))
    for name in ("evaluations", "responses"):
        assert getattr(there, name)("sft-256-aaaa").equals(getattr(here, name)("sft-256-aaaa"))
    there.close()
    here.close()


def test_the_record_of_a_run_never_holds_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.provenance import collect_provenance

    for url in (f"postgresql://me:{PASSWORD}@h/d", f"postgresql://h/d?password={PASSWORD}"):
        monkeypatch.setenv("A5CTL_REGISTRY", url)
        told = collect_provenance(["a5ctl", "run", "sft", "--registry", url])
        assert PASSWORD not in json.dumps(told.to_json())
        assert "A5CTL_REGISTRY" in told.environment


def test_mirrors_are_told_the_registry_without_its_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from a5ctl.mirroring import MirrorPlan

    url = f"postgresql://me:{PASSWORD}@h/d"
    monkeypatch.setenv("A5CTL_REGISTRY", url)
    plan = MirrorPlan(("tensorboard",), str(tmp_path), url)
    assert PASSWORD not in plan.to_text()
    assert MirrorPlan.from_text(plan.to_text()) == plan


def _runs(shown: object) -> list[dict[str, object]]:
    found = shown["runs"] if isinstance(shown, dict) else shown
    assert isinstance(found, list)
    return found
