"""Does a plan on three Ray nodes finish with the same numbers when one of them dies?

    python benchmarks/ray_lost_node.py --cells 4

A Ray of three nodes is started on this machine, the head among them, with one CPU each. When a cell
on another node than the head is in the middle of its run, every process of that node is killed at
one stroke. The plan has to finish, the cell to go on from its checkpoint, and every metric and
response to be as in the same plan on this machine without Ray.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.timing import write  # noqa: E402
from core.registry.records import RunRecord  # noqa: E402
from core.registry.store import Registry, open_registry  # noqa: E402
from tests.a5ctl.cluster.ray_nodes import Nodes, ray_nodes, raylet_of  # noqa: E402
from tests.a5ctl.conftest import write_problems  # noqa: E402
from tests.a5ctl.test_resume import curves, evaluations  # noqa: E402
from tests.models import write_model  # noqa: E402

_STEPS, _CHECKPOINT_EVERY = 200, 5
_PLAN = """
name = "lost node"
seeds = {seeds}
[base]
kind = "sft"
model.source = "{folder}/model"
data.source = "{folder}/data"
data.size = 20
train.steps = {steps}
train.batch_size = 4
train.checkpoint_every = {every}
evaluation.engine = "hf"
evaluation.max_tokens = 12
[axes]
"train.lr" = [1e-3, 2e-3]
"""


def main() -> None:
    """Run it, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=4, help="an even number")
    parser.add_argument("--recording", default="node", choices=("node", "shared"))
    parser.add_argument("--work", type=Path, help="kept; a temporary folder when not given")
    given = parser.parse_args()
    os.environ |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    work = given.work or Path(tempfile.mkdtemp(prefix="a5ctl-ray-"))
    try:
        measured = _measure(work, given.cells, given.recording)
    finally:
        if given.work is None:
            shutil.rmtree(work, ignore_errors=True)
    write("ray_lost_node", measured)
    print(json.dumps(measured, indent=2))
    if not (measured["all_finished"] and measured["same_numbers"] and measured["resumed_at"]):
        sys.exit(1)


def _measure(work: Path, cells: int, recording: str) -> dict[str, Any]:
    plan = _plan(work, cells)
    with ray_nodes(workers=2, head_cpus=1) as nodes:
        lost = _with_a_loss(work / "lost", plan, nodes, recording)
    calm = work / "calm"
    done = _start(calm, plan, "--jobs", "2").wait()
    assert done == 0, f"the plan without Ray ended with {done}"
    return {**lost, "cells": cells, "recording": recording, **_compared(work / "lost", calm)}


def _plan(work: Path, cells: int) -> Path:
    write_model(work / "model")
    (work / "data").mkdir(parents=True)
    write_problems(work / "data" / "train.jsonl", 40)
    write_problems(work / "data" / "test.jsonl", 12, offset=100)
    plan = work / "plan.toml"
    seeds = list(range(cells // 2))
    text = _PLAN.format(seeds=seeds, folder=work, steps=_STEPS, every=_CHECKPOINT_EVERY)
    plan.write_text(text)
    return plan


def _start(home: Path, plan: Path, *options: str) -> subprocess.Popen[bytes]:
    home.mkdir()
    command = [sys.executable, "-m", "a5ctl", "plan", "run", str(plan), "--home", str(home)]
    log = (home / "out.txt").open("wb")
    return subprocess.Popen([*command, *options], stdout=log, stderr=log)


def _with_a_loss(home: Path, plan: Path, nodes: Nodes, recording: str) -> dict[str, Any]:
    process = _start(home, plan, "--on", nodes.address, "--recording", recording)
    registry = _registry(home)
    victim, step = _in_mid_run(registry, nodes)
    assert victim.pid is not None
    killed = len(nodes.lose_node_of(victim.pid))
    when = time.monotonic()
    while not registry.segments(victim.uuid) and process.poll() is None:
        time.sleep(0.5)
    seconds = time.monotonic() - when
    code = process.wait()
    return {
        "nodes": 3,
        "killed_processes": killed,
        "killed_after_step": step,
        "seconds_until_it_went_on": round(seconds, 1),
        "resumed_at": [start for _, start in registry.segments(victim.uuid)],
        "exit_code": code,
    }


def _registry(home: Path) -> Registry:
    while not (home / "registry.db").exists():
        time.sleep(0.2)
    return open_registry(f"sqlite:///{home / 'registry.db'}", create=False)


def _in_mid_run(registry: Registry, nodes: Nodes) -> tuple[RunRecord, int]:
    """A run away from the head that is between a fifth and a half of its updates."""
    while True:
        for run in registry.runs(status="running"):
            step = registry.last_steps([run.uuid]).get(run.uuid, 0)
            if run.pid is None or not _STEPS // 5 <= step <= _STEPS // 2:
                continue
            if raylet_of(run.pid) != nodes.head:
                return run, step
        time.sleep(0.2)


def _compared(home: Path, calm: Path) -> dict[str, Any]:
    ours, theirs = _registry(home), _registry(calm)
    names = {run.name: run for run in theirs.runs()}
    runs = ours.runs()
    same = [
        curves(ours, run.id) == curves(theirs, names[run.name].id)
        and evaluations(ours, run.id) == evaluations(theirs, names[run.name].id)
        for run in runs
    ]
    values = sum(len(points) for run in runs for points in curves(ours, run.id).values())
    texts = sum(len(texts) for run in runs for _, texts in evaluations(ours, run.id))
    return {
        "all_finished": [run.status.value for run in runs] == ["finished"] * len(names),
        "same_numbers": all(same),
        "metric_values": values,
        "responses": texts,
    }


if __name__ == "__main__":
    main()
