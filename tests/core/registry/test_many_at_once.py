"""Four runs record into one registry while others list, look closer, check, copy and delete."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.registry.backup import back_up
from core.registry.check import check_registry
from core.registry.recorder import Recorder
from core.registry.removal import remove_run
from core.registry.store import Registry, open_registry
from core.workspace import Workspace
from tests.core.registry.conftest import answer, evaluation_result, new_run

WRITERS, BATCHES, EVALUATE_EVERY = 4, 200, 50


def value(writer: int, step: int, name: int) -> float:
    return 1000.0 * writer + step + name / 7.0


def record(workspace: Workspace, writer: int, problems: list[str | None]) -> None:
    registry = open_registry(workspace.registry_url())
    run = registry.create_run(new_run(id=f"writer-{writer}"))
    with Recorder(registry, run.uuid, workspace.run_folder(run.id), interval=0.002) as recorder:
        for step in range(1, BATCHES + 1):
            recorder.metrics(step, {f"m{n}": value(writer, step, n) for n in range(5)})
            if step % EVALUATE_EVERY == 0:
                recorder.event("info", "milestone", f"step {step}", step=step)
                recorder.evaluation(evaluation_result([answer(step), answer(writer)], step=step))
                recorder.flush()
    problems.append(recorder.problem)
    registry.close()


@contextlib.contextmanager
def recording(workspace: Workspace, problems: list[str | None]) -> Iterator[list[threading.Thread]]:
    threads = [
        threading.Thread(target=record, args=(workspace, writer, problems), daemon=True)
        for writer in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.join()


def look_around(registry: Registry, workspace: Workspace, copy: Path, number: int) -> None:
    """What people do meanwhile; any trouble raises."""
    assert registry.database.path is not None
    victim = registry.create_run(new_run(id=f"victim-{number}"))
    with Recorder(registry, victim.uuid, workspace.run_folder(victim.id)) as recorder:
        recorder.metrics(1, {"loss": 1.0})
    uuids = [run.uuid for run in registry.runs()]
    registry.headlines(uuids)
    registry.metric_summaries(uuids)
    for uuid in uuids:
        registry.metrics(uuid)
    remove_run(registry, workspace, victim)
    back_up(registry.database, registry.database.path, copy, force=True)
    found = check_registry(registry.database, registry.database.path, workspace, read=False)
    assert found.findings == ()
    registry.merge_left_behind(workspace)


@pytest.mark.timeout(300)
def test_nothing_is_lost_and_nobody_hears_of_a_lock(
    registry: Registry, workspace: Workspace, tmp_path: Path
) -> None:
    problems: list[str | None] = []
    with recording(workspace, problems) as threads:
        number = 0
        while number == 0 or any(thread.is_alive() for thread in threads):
            look_around(registry, workspace, tmp_path / "copy.db", number)
            number += 1
    assert problems == [None] * WRITERS
    assert sorted(run.id for run in registry.runs()) == [f"writer-{n}" for n in range(WRITERS)]
    for writer in range(WRITERS):
        run = registry.find_run(f"writer-{writer}")
        assert run.status == "finished"
        expected = {
            f"m{n}": [(step, value(writer, step, n)) for step in range(1, BATCHES + 1)]
            for n in range(5)
        }
        curves = registry.metrics(run.uuid)
        assert {n: [(p.step, p.value) for p in points] for n, points in curves.items()} == expected
        steps = list(range(EVALUATE_EVERY, BATCHES + 1, EVALUATE_EVERY))
        evaluations = registry.evaluations([run.uuid])
        assert [found.step for found in evaluations] == steps
        for found in evaluations:
            texts = [response.text for response in registry.responses(found.uuid)]
            assert texts == [answer(found.step), answer(writer)]
        events = registry.events(run.uuid)
        assert [(event.kind, event.step) for event in events] == [("milestone", s) for s in steps]
        assert run.journal_bytes == (workspace.run_folder(run.id) / "journal.jsonl").stat().st_size
