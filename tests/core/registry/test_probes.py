"""Probes in the registry: whole, replaced whole, gone with their run, and their migration."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import UserError
from core.probing.names import ProbeKind
from core.registry import probe_writes
from core.registry.entries import EventEntry
from core.registry.migrations import HEAD
from core.registry.probe_records import ProbedResponse, ProbeRecord
from core.registry.probes import keep_probes
from core.registry.recorder import Recorder
from core.registry.records import RunRecord, StoredGrade
from core.registry.store import Registry, open_registry
from core.workspace import Workspace
from tests.core.registry.conftest import answer, evaluation_result, go_back, new_run

GRADES = {"r1_zero": StoredGrade(True, True, " 42 ", None, 1)}


@pytest.fixture
def run(registry: Registry, workspace: Workspace) -> RunRecord:
    made = registry.create_run(new_run())
    with Recorder(registry, made.uuid, workspace.run_folder(made.id)) as recorder:
        recorder.evaluation(evaluation_result([answer(42), "so it", "and"]))
    return made


def evaluation_of(registry: Registry, run: RunRecord) -> str:
    (evaluation,) = registry.evaluations([run.uuid])
    return evaluation.uuid


def probe(*texts: str, kind: ProbeKind = ProbeKind.MAX_TOKENS, cap: int = 128) -> ProbeRecord:
    responses = tuple(
        ProbedResponse(f"p-{i}", 0, "eos", 9, True, True, "", GRADES, text)
        for i, text in enumerate(texts, 1)
    )
    return ProbeRecord(kind, cap, 5.0, 2, "hf", "5.0", "float32", 1.5, responses)


def keep(
    registry: Registry,
    run: RunRecord,
    probes: list[ProbeRecord],
    events: Sequence[EventEntry] = (),
    folder: Path | None = None,
) -> None:
    keep_probes(registry, run, folder, evaluation_of(registry, run), probes, events)


def event(identity: str = "e1") -> EventEntry:
    return EventEntry(
        uuid=identity, time=5.0, step=0, severity="info", kind="probed", message="found"
    )


def test_a_probe_reads_back_as_it_was(registry: Registry, run: RunRecord) -> None:
    evaluation, written = evaluation_of(registry, run), probe("so it is", "\x00 \ud83d and")
    keep(registry, run, [written], [event()])
    (found,) = registry.probes_of(evaluation, texts=True)
    assert found.responses[0] == written.responses[0]
    assert found.responses[1].text == "\x00 \\ud83d and"
    assert replace(found, responses=()) == replace(written, responses=())
    assert [e.message for e in registry.events(run.uuid) if e.kind == "probed"] == ["found"]


def test_texts_are_read_only_where_they_are_asked_for(registry: Registry, run: RunRecord) -> None:
    evaluation = evaluation_of(registry, run)
    keep(registry, run, [probe("x")])
    (found,) = registry.probes_of(evaluation)
    assert [r.text for r in found.responses] == [None]
    assert found.responses[0].grades == GRADES


def test_larger_caps_come_first_by_cap_then_closing(registry: Registry, run: RunRecord) -> None:
    evaluation = evaluation_of(registry, run)
    probes = [probe(kind=ProbeKind.CLOSE, cap=64), probe(cap=4096), probe(cap=512)]
    keep(registry, run, probes)
    assert [p.cap for p in registry.probes_of(evaluation)] == [512, 4096, 64]


def test_a_repeated_probe_takes_the_place_of_the_old_one(
    registry: Registry, run: RunRecord
) -> None:
    evaluation = evaluation_of(registry, run)
    other = probe("other cap", cap=512)
    keep(registry, run, [probe("old", "old too"), other], [event()])
    keep(registry, run, [probe("new")], [event("e2")])
    first, second = registry.probes_of(evaluation, texts=True)
    assert [r.text for r in first.responses] == ["new"]
    assert [r.text for r in second.responses] == ["other cap"]


def test_a_probe_that_fails_half_way_changes_nothing(
    registry: Registry, run: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = evaluation_of(registry, run)
    keep(registry, run, [probe("old")])
    monkeypatch.setattr(probe_writes, "_row", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        keep(registry, run, [probe("new", "more")], [event()])
    (found,) = registry.probes_of(evaluation, texts=True)
    assert [r.text for r in found.responses] == ["old"]


def test_probes_go_with_their_run_and_are_named(registry: Registry, run: RunRecord) -> None:
    keep(registry, run, [probe("a", "b")])
    gone = registry.delete_run(run.uuid)
    assert (gone.rows["probe"], gone.rows["probed_response"]) == (1, 2)
    for name in ("probe", "probed_response"):
        assert registry.database.read(f"SELECT COUNT(*) FROM {name}") == [(0,)]


def test_a_deleted_evaluation_is_one_sentence(registry: Registry, run: RunRecord) -> None:
    with pytest.raises(UserError, match="deleted while it was probed"):
        keep_probes(registry, run, None, "nobody", [probe("a")], [])


@pytest.mark.slow
def test_a_registry_without_probes_is_upgraded_and_keeps_what_it_holds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'r.db'}"
    registry = open_registry(url)
    with registry.database.begin() as connection:
        connection.exec_driver_sql("INSERT INTO metric_name (name) VALUES ('loss')")
    go_back(registry, "0002")
    assert registry.database.read("SELECT version_num FROM alembic_version") == [("0002",)]
    upgraded = open_registry(url)
    assert upgraded.database.read("SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert upgraded.database.read("SELECT name FROM metric_name") == [("loss",)]
    assert upgraded.probes_of("nobody") == []
