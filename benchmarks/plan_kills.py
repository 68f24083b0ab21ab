"""Does a plan that is killed three times end as one that nobody touched?

    python benchmarks/plan_kills.py --jobs 2

Twelve cells on the built-in model are carried out once in one go. In another workspace the same
plan is killed with SIGKILL: parent and cells together, then the process of one cell in the midst of
its training, then the parent alone, whose cells go on and are found alive. It must finish, with one
run for each cell, the same metrics step by step, the same responses and the same bytes of weights.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.timing import write  # noqa: E402
from core.plans.load import load_plan  # noqa: E402
from core.plans.runs import CellState, cell_runs, plan_runs  # noqa: E402
from core.registry.store import open_registry  # noqa: E402

_PLAN = """
name = "killed and resumed"
question = "Does a kill change a number?"
seeds = [0, 1]

[base]
kind = "sft"
train.batch_size = 8
train.checkpoint_every = 4
evaluation.limit = 48
evaluation.max_tokens = 96
evaluation.engine = "hf"
evaluation.every = {half}

[axes]
"data.size" = [32, 64, 128]

[groups.all]

[groups.answer]
train.supervise = "answer"

[budget]
same = "updates"
amount = {steps}
"""
_TIMINGS = {"step_seconds", "tokens_per_second"}
_DEADLINE_S = 3600


class Place:
    """A workspace in which the plan is carried out.

    Args:
        home: The workspace.
        file: The plan.
        jobs: Cells at a time.
    """

    def __init__(self, home: Path, file: Path, jobs: int) -> None:
        self.home = home
        self.plan = load_plan(file)
        self._jobs = jobs
        home.mkdir(parents=True)

    def begin(self) -> "subprocess.Popen[bytes]":
        """Start `a5ctl plan run`."""
        command = [sys.executable, "-m", "a5ctl", "plan", "run", str(self.plan.path)]
        command += ["--jobs", str(self._jobs), "--home", str(self.home)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (self.home / "said.txt").open("ab") as said:
            return subprocess.Popen(command, env=environment, stdout=said, stderr=said, cwd=ROOT)

    def finish(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait for the end.

        Raises:
            SystemExit: it did not finish every cell.
        """
        if process.wait(_DEADLINE_S):
            said = (self.home / "said.txt").read_text(errors="replace")
            raise SystemExit(f"the plan ended with {process.returncode}: {said}")

    def wait(self, done: int, at_work: int) -> None:
        """Return when so many cells are finished and so many others are amid their updates.

        Raises:
            SystemExit: that never happened.
        """
        deadline = time.monotonic() + _DEADLINE_S
        while time.monotonic() < deadline:
            if len(self.cells(CellState.FINISHED)) >= done and len(self.amid()) >= at_work:
                return
            time.sleep(0.05)
        raise SystemExit(f"{done} finished cells and {at_work} at work were never seen")

    def cells(self, state: CellState) -> list[str]:
        """Ids of the cells in a state."""
        return self._ask(
            lambda registry: [
                key for key, found in cell_runs(registry, self.plan).items() if found.state is state
            ],
            [],
        )

    def amid(self) -> dict[str, int]:
        """Cells at work that have made some updates and have more to make, with their process."""

        def ask(registry: Any) -> dict[str, int]:
            running = {
                key: found.run
                for key, found in cell_runs(registry, self.plan).items()
                if found.state is CellState.RUNNING and found.run is not None
            }
            steps = registry.last_steps([run.uuid for run in running.values()])
            last = self.plan.cells[0].config.train.steps or 1
            return {
                key: run.pid
                for key, run in running.items()
                if run.pid is not None and 1 <= steps.get(run.uuid, 0) < last
            }

        return self._ask(ask, {})

    def outcome(self) -> dict[str, dict[str, Any]]:
        """Curves, responses and weights by cell."""
        return self._ask(self._outcome, {})

    def runs(self) -> int:
        """Runs in the registry, whatever they are of."""
        return self._ask(lambda registry: len(registry.runs(archived=True)), 0)

    def resumed(self) -> int:
        """How often a run went on after a stop."""
        return self._ask(
            lambda registry: sum(
                len(registry.segments(run.uuid)) for run in registry.runs(archived=True)
            ),
            0,
        )

    def _outcome(self, registry: Any) -> dict[str, dict[str, Any]]:
        found = {}
        for key, run in plan_runs(registry, self.plan).items():
            newest = max((self.home / "runs" / run.id / "checkpoints").glob("step-*"))
            weights = hashlib.sha256((newest / "model.safetensors").read_bytes()).hexdigest()
            found[key] = {
                "status": run.status,
                "curves": {
                    name: [(point.step, point.value) for point in points]
                    for name, points in registry.metrics(run.uuid).items()
                    if name not in _TIMINGS
                },
                "responses": [
                    (e.step, [(r.problem_id, r.text) for r in registry.responses(e.uuid)])
                    for e in registry.evaluations([run.uuid])
                ],
                "weights": weights,
            }
        return found

    def _ask(self, question: Callable[[Any], Any], otherwise: Any) -> Any:
        if not (self.home / "registry.db").exists():
            return otherwise
        registry = open_registry(f"sqlite:///{self.home / 'registry.db'}", create=False)
        try:
            return question(registry)
        finally:
            registry.close()


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


def kill_all(process: "subprocess.Popen[bytes]") -> int:
    """Kill the parent, and every cell with what it has started; returns how many cells."""
    cells = children(process.pid)
    process.kill()
    for cell in cells:
        os.killpg(cell, signal.SIGKILL)
    process.wait()
    return len(cells)


def disturb(place: Place) -> dict[str, int]:
    """Carry the plan out with three kills."""
    process = place.begin()
    place.wait(done=2, at_work=1)
    together = kill_all(process)
    print(f"killed parent and {together} cells, {place.runs()} runs so far", flush=True)
    process = place.begin()
    place.wait(done=5, at_work=1)
    cell, pid = next(iter(place.amid().items()))
    os.killpg(pid, signal.SIGKILL)
    print(f"killed the process of cell {cell}", flush=True)
    place.wait(done=8, at_work=1)
    left = len(children(process.pid))
    process.kill()
    process.wait()
    print(f"killed the parent alone, {left} cells left at work", flush=True)
    place.finish(place.begin())
    return {"cells_killed_together": together, "cells_killed_alone": 1, "cells_left_alive": left}


def main() -> None:
    """Run both, compare, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--steps", type=int, default=24)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan.toml"
        file.write_text(_PLAN.format(steps=given.steps, half=given.steps // 2))
        whole = Place(Path(folder) / "in-one-go", file, given.jobs)
        started = time.perf_counter()
        whole.finish(whole.begin())
        seconds = time.perf_counter() - started
        print(f"in one go: {seconds:.0f} s", flush=True)
        place = Place(Path(folder) / "killed", file, given.jobs)
        started = time.perf_counter()
        kills = disturb(place)
        killed_seconds = time.perf_counter() - started
        place.finish(place.begin())
        expected, found = whole.outcome(), place.outcome()
        differing = [
            f"{key} {part}"
            for key, parts in expected.items()
            for part, value in parts.items()
            if found.get(key, {}).get(part) != value
        ]
        result = {
            "cells": len(place.plan.cells),
            "runs": place.runs(),
            "resumed": place.resumed(),
            **kills,
            "differing": differing,
            "metric_values": sum(
                len(points) for parts in expected.values() for points in parts["curves"].values()
            ),
            "responses": sum(
                len(texts) for parts in expected.values() for _, texts in parts["responses"]
            ),
            "seconds_in_one_go": round(seconds, 1),
            "seconds_killed": round(killed_seconds, 1),
        }
    write("plan_kills", {"steps": given.steps, "jobs": given.jobs, **result})
    print(json.dumps(result))
    if differing or result["runs"] != result["cells"]:
        raise SystemExit("the killed plan is not the one that nobody touched")


if __name__ == "__main__":
    main()
