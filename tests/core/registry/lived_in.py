"""A workspace with something of everything in it, recorded as runs do."""

from pathlib import Path

from core.config.load import build_config, config_hash, to_toml, to_tree
from core.config.methods import KeepRollouts
from core.dump_evaluation import DumpSettings
from core.dump_recording import DumpOrigin, record_dump
from core.probing.names import ProbeKind
from core.registry.entries import EventEntry, GradeRow, new_uuid
from core.registry.probe_records import ProbedResponse, ProbeRecord
from core.registry.probes import keep_probes
from core.registry.recorder import Recorder
from core.registry.records import StoredGrade
from core.registry.regrade_writes import Observations, RegradedRow
from core.registry.regrades import (
    StoredEvaluation,
    store_regrade,
    stored_evaluations,
    stored_texts,
)
from core.registry.run_folders import journal_folder
from core.registry.store import Registry, RunRecord
from core.workspace import Workspace
from tests.core.registry.conftest import answer, evaluation_result, new_run
from tests.rollouts import batch, right

RUN = "sft-256-aaaa"
"""The run of the fixture `one_run`."""
HOSTILE = "\x1b[31m[bold]\x00 é 𝄞 \u202e"


def finished_run(
    registry: Registry, workspace: Workspace, run_id: str, **changes: object
) -> RunRecord:
    """A run with two segments, three checkpoints (4, 8, 12) of which 4 is the best, and a file."""
    run = registry.create_run(new_run(id=run_id, tags=("a", "b"), note=HOSTILE, **changes))
    folder = workspace.run_folder(run_id)
    with Recorder(registry, run.uuid, folder) as recorder:
        for step in range(1, 9):
            recorder.metrics(step, {"loss": 1.0 / step, "odd": float("nan"), "big": float("inf")})
        recorder.begin_segment(6)
        for step in range(7, 13):
            recorder.metrics(step, {"loss": 2.0 / step})
        for step, texts in ((4, [answer(42), answer(42)]), (8, [answer(1), HOSTILE])):
            recorder.evaluation(evaluation_result(texts, step=step))
        recorder.evaluation(evaluation_result([answer(42), answer(1)], step=12))
        for step in (4, 8, 12):
            recorder.artifact("checkpoint", checkpoint(folder, step))
        (folder / "pairs.jsonl").write_text("{}\n")
        recorder.artifact("pairs", folder / "pairs.jsonl")
        recorder.event("warning", "alarm", HOSTILE, step=3, data={"a": [1, None]})
    return registry.run_by_uuid(run.uuid)


def rollout_run(registry: Registry, workspace: Workspace, run_id: str) -> RunRecord:
    """A run of rollouts that failed."""
    run = registry.create_run(new_run(id=run_id, kind="grpo", data_hash="d" * 64))
    recorder = Recorder(registry, run.uuid, workspace.run_folder(run_id))
    try:
        with recorder:
            recorder.metrics(1, {"loss": 0.5, "reward": 0.25})
            recorder.rollouts(batch([[right(42), right(7)], ["x", HOSTILE]]), KeepRollouts.ALL)
            raise OSError("boom")
    except OSError:
        return registry.run_by_uuid(run.uuid)


def killed_run(registry: Registry, workspace: Workspace, run_id: str) -> RunRecord:
    """A run whose process is gone, with a choice that it made while it ran."""
    config = build_config({"kind": "sft"})
    tree = to_tree(config)
    run = registry.create_run(new_run(id=run_id, config=tree, config_hash=config_hash(config)))
    folder = workspace.run_folder(run_id)
    recorder = Recorder(registry, run.uuid, folder, heartbeat=3600.0)
    recorder.__enter__()
    recorder.metrics(1, {"loss": 0.25})
    chosen = build_config({"kind": "sft", "train": {"microbatch_tokens": 512}})
    (folder / "config.toml").write_text(to_toml(chosen), encoding="utf-8")
    recorder.choices(to_tree(chosen), config_hash(chosen))
    assert recorder.flush(60)
    recorder._writer.stop(60)
    recorder._lock.__exit__(None, None, None)
    return registry.run_by_uuid(run.uuid)


def added_later(registry: Registry, workspace: Workspace, run: RunRecord) -> None:
    """Other grades, twice, and a probe of the run's evaluations."""
    folder = journal_folder(workspace, run)
    for evaluation in stored_evaluations(registry, run.uuid)[:2]:
        for version in (98, 99):
            store_regrade(
                registry, run, folder, evaluation, regraded(registry, evaluation, version)
            )
    last = stored_evaluations(registry, run.uuid)[-1].uuid
    probed = ProbedResponse("p-1", 0, "eos", 9, True, False, "", _GRADES, HOSTILE + "\ud83d")
    probe = ProbeRecord(ProbeKind.CLOSE, 64, 5.0, 2, "hf", "5.0", "float32", 1.5, (probed,))
    told = EventEntry(
        uuid=new_uuid(), time=5.0, step=12, severity="info", kind="probed", message=HOSTILE
    )
    keep_probes(registry, run, folder, last, [probe], [told])


_GRADES = {"r1_zero": StoredGrade(True, True, " 42 ", None, 1)}


def regraded(registry: Registry, evaluation: StoredEvaluation, version: int) -> list[RegradedRow]:
    """Everything is right, by another version; and parts of it were seen anew."""
    return [
        RegradedRow(
            problem=text.problem_id,
            sample=text.sample,
            grades=[
                GradeRow(
                    grader="r1_zero",
                    version=version,
                    formatted=True,
                    right=True,
                    extracted=HOSTILE,
                    failure=None,
                )
            ],
            seen=Observations(False, None, (f"flag{version}",)),
        )
        for text in stored_texts(registry, evaluation)
    ]


def graded_file(registry: Registry, workspace: Workspace) -> str:
    """Responses from a file as a run; returns its id."""
    results = [
        evaluation_result([answer(42), HOSTILE, answer(7)], step=step, data_hash="file")
        for step in (3, 5)
    ]
    origin = DumpOrigin({"kind": "eval", "dump": {}}, HOSTILE, "file", None, {"dump": HOSTILE})
    return record_dump(registry, workspace, DumpSettings("d.jsonl"), results, origin)


def proven_dead(registry: Registry, run: RunRecord) -> None:
    """Let a run that says it is running be known as lost."""
    with registry.database.begin() as connection:
        connection.exec_driver_sql(f"UPDATE run SET pid = 0 WHERE key = {run.key}")


def checkpoint(folder: Path, step: int) -> Path:
    """A folder with the name of a checkpoint, and some bytes in it."""
    path = folder / "checkpoints" / f"step-{step:06d}"
    (path / "trainer").mkdir(parents=True)
    (path / "model.safetensors").write_bytes(bytes([step]) * 1000)
    (path / "trainer" / "rng").write_bytes(b"state")
    return path
