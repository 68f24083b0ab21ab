"""Runs are created, found, settled and deleted."""

import os
import socket
import sqlite3

import pytest

from core.errors import UserError
from core.registry.recorder import Recorder
from core.registry.store import Registry, RunStatus, open_registry
from core.workspace import Workspace
from tests.core.registry.conftest import answer, evaluation_result, new_run


def test_a_new_run_is_queued_and_knows_its_process(registry: Registry) -> None:
    run = registry.create_run(new_run(name="baseline", tags=("a", "b"), note="hello"))
    assert run.status is RunStatus.QUEUED
    assert run.id.startswith("sft-256-")
    assert (run.name, run.tags, run.note) == ("baseline", ("a", "b"), "hello")
    assert run.config == {"kind": "sft", "train": {"lr": 1e-3}}
    assert (run.pid, run.host) == (os.getpid(), socket.gethostname())
    assert registry.provenance(run.uuid) == {"git": {"commit": "c0ffee"}}


def test_short_ids_are_unique_even_when_chance_repeats_itself(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = iter(["sft-256-aaaa", "sft-256-aaaa", "sft-256-aaaa", "sft-256-bbbb"])
    monkeypatch.setattr("core.registry.run_writes.new_run_id", lambda kind, size: next(draws))
    assert registry.create_run(new_run()).id == "sft-256-aaaa"
    assert registry.create_run(new_run()).id == "sft-256-bbbb"


def test_a_given_id_that_is_taken_is_refused(registry: Registry) -> None:
    registry.create_run(new_run(id="mine"))
    with pytest.raises(UserError, match="there is a run mine already"):
        registry.create_run(new_run(id="mine"))


@pytest.mark.parametrize("part", ["sft-256-k3f9", "sft-256-k", "k3f9", "first try"])
def test_a_run_is_found_by_id_prefix_suffix_and_name(registry: Registry, part: str) -> None:
    wanted = registry.create_run(new_run(id="sft-256-k3f9", name="first try"))
    registry.create_run(new_run(id="sft-512-x2m1"))
    assert registry.find_run(part).uuid == wanted.uuid
    assert registry.find_run(wanted.uuid).uuid == wanted.uuid
    assert registry.find_run(wanted.uuid[:8]).uuid == wanted.uuid


def test_a_whole_id_wins_over_longer_ids_that_begin_with_it(registry: Registry) -> None:
    short = registry.create_run(new_run(id="sft-1"))
    registry.create_run(new_run(id="sft-12"))
    assert registry.find_run("sft-1").uuid == short.uuid


def test_an_ambiguous_reference_names_the_candidates(registry: Registry) -> None:
    registry.create_run(new_run(id="sft-256-aaaa"))
    registry.create_run(new_run(id="sft-256-bbbb"))
    with pytest.raises(UserError, match=r"several runs \(sft-256-bbbb, sft-256-aaaa\)"):
        registry.find_run("sft-256")


def test_an_unknown_reference_names_what_is_near(registry: Registry) -> None:
    registry.create_run(new_run(id="sft-256-k3f9"))
    with pytest.raises(UserError, match="did you mean sft-256-k3f9"):
        registry.find_run("sft-256-k3g9")
    with pytest.raises(UserError, match="a5ctl ls lists the runs"):
        registry.find_run("zzzzzz")


@pytest.mark.parametrize("hostile", ["", "%", "_", "' OR 1=1 --", "a\x00b", "../../etc", "\ud800"])
def test_hostile_references_find_nothing(registry: Registry, hostile: str) -> None:
    registry.create_run(new_run())
    with pytest.raises(UserError, match="there is no run"):
        registry.find_run(hostile)


def test_hostile_names_are_stored_and_read_back_as_text(registry: Registry) -> None:
    name = "x'); DROP TABLE run; --\x1b[31m\u202e[bold]"
    run = registry.create_run(new_run(name=name, group="\ud800lone", note="\x00"))
    stored = registry.find_run(run.id)
    assert (stored.name, stored.group, stored.note) == (name, "\\ud800lone", "\x00")


def test_runs_are_listed_newest_first_and_filtered(registry: Registry) -> None:
    first = registry.create_run(new_run(group="g"))
    second = registry.create_run(new_run(kind="eval", group="g"))
    third = registry.create_run(new_run())
    registry.set_status(third.uuid, "failed", exit_reason="boom")
    assert [run.uuid for run in registry.runs()] == [third.uuid, second.uuid, first.uuid]
    assert [run.uuid for run in registry.runs(group="g", limit=1)] == [second.uuid]
    assert [run.uuid for run in registry.runs(kind="eval")] == [second.uuid]
    assert [run.exit_reason for run in registry.runs(status="failed")] == ["boom"]


def test_a_settled_run_has_an_end(registry: Registry) -> None:
    run = registry.create_run(new_run())
    registry.set_status(run.uuid, RunStatus.INTERRUPTED, exit_reason="Ctrl-C", traceback="trace")
    settled = registry.run_by_uuid(run.uuid)
    assert settled.status is RunStatus.INTERRUPTED
    assert settled.ended is not None
    assert registry.traceback(run.uuid) == "trace"


def test_setting_the_status_of_an_unknown_run_is_an_error(registry: Registry) -> None:
    with pytest.raises(UserError, match="has no run with the uuid nope"):
        registry.set_status("nope", "failed")


def test_choices_made_at_run_time_replace_the_configuration(registry: Registry) -> None:
    run = registry.create_run(new_run())
    registry.set_config(run.uuid, {"train": {"threads": 1}}, "new-hash")
    stored = registry.run_by_uuid(run.uuid)
    assert (stored.config, stored.config_hash) == ({"train": {"threads": 1}}, "new-hash")


def test_deleting_names_what_goes_and_leaves_the_rest(
    registry: Registry, workspace: Workspace
) -> None:
    run, other = registry.create_run(new_run()), registry.create_run(new_run())
    child = registry.create_run(new_run(parent_uuid=run.uuid))
    for each in (run, other):
        with Recorder(registry, each.uuid, workspace.run_folder(each.id)) as recorder:
            recorder.metrics(1, {"loss": 1.0, "lr": 0.1})
            recorder.evaluation(evaluation_result([answer(42), answer(7)]))
            recorder.event("info", "note", "hello")
    gone = registry.delete_run(run.uuid)
    assert gone.rows["metric"] == 2
    assert gone.rows["response"] == 2
    assert gone.rows["grade"] == 10
    assert gone.children == (child.id,)
    assert gone.folder == f"runs/{run.id}"
    assert registry.metrics(run.uuid) == {}
    assert len(registry.metrics(other.uuid)["loss"]) == 1
    assert registry.run_by_uuid(child.uuid).parent_uuid == run.uuid, "lineage outlives the parent"
    assert _count(registry, "response") == 2
    assert _count(registry, "grade") == 10


def test_a_running_run_cannot_be_deleted(registry: Registry, workspace: Workspace) -> None:
    run = registry.create_run(new_run())
    with (
        Recorder(registry, run.uuid, workspace.run_folder(run.id)),
        pytest.raises(UserError, match="still running"),
    ):
        registry.delete_run(run.uuid)


def test_a_missing_registry_reads_as_an_empty_one_and_is_not_made(workspace: Workspace) -> None:
    registry = open_registry(workspace.registry_url(), create=False)
    assert registry.runs() == []
    with pytest.raises(UserError, match="has no runs yet"):
        registry.find_run("sft")
    assert not (workspace.root / "registry.db").exists()


def test_a_deleted_registry_is_noticed_and_not_written_into_the_void(registry: Registry) -> None:
    registry.create_run(new_run())
    assert registry.database.path is not None
    registry.close()
    for suffix in ("", "-wal", "-shm"):
        registry.database.path.with_name(f"registry.db{suffix}").unlink(missing_ok=True)
    with pytest.raises(UserError, match="is gone"):
        registry.create_run(new_run())


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite://", "sqlite:///:memory:", "nonsense://x"])
def test_unsupported_urls_are_refused(url: str) -> None:
    with pytest.raises(UserError, match="registry"):
        open_registry(url)


def test_a_password_never_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.registry.database import Database

    assert Database("postgresql://me:secret@host/db").label == "postgresql://host/db"


def _count(registry: Registry, table: str) -> int:
    connection = sqlite3.connect(str(registry.database.path))
    (found,) = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
    connection.close()
    return int(found)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+psycopg2cffi://me:secret@host/runs", "names the driver psycopg2cffi"),
        ("postgresql://me:secret@host:port/runs", "is not a usable URL"),
        ("postgresql://me:sec@ret@host/runs", "is not a usable URL; .* %40"),
        ("postgresql://me:sec/secret@host/runs", "is not a usable URL; .* %2F"),
        ("postgresql://host/runs?password=secret&port=x", "is not a usable URL"),
        ("mysql://me:secret@host/runs", "is not supported"),
        ("sqlite://", "is not supported"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_databases_that_cannot_be_used_are_refused_without_their_password(
    url: str, said: str
) -> None:
    with pytest.raises(UserError, match=said) as refused:
        open_registry(url)
    assert "secret" not in str(refused.value)


def test_a_folder_in_which_sqlite_makes_no_files_is_one_sentence_with_the_fix(
    registry: Registry,
) -> None:
    error = sqlite3.OperationalError("unable to open database file")
    said = str(registry.database.unavailable(error))
    assert "cannot be written" in said
    assert "make both writable, or give a writable copy with --registry" in said
    assert "unable to open" not in said
