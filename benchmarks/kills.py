"""Does a run killed at random moments, over and over, end as one that nobody touched?

    python benchmarks/kills.py --kills 30

A run is killed (SIGKILL), resumed, killed again, a few times in a row, and then left to finish; it
must have the metrics, the responses and the bytes of the weights of an undisturbed one. One kill in
three comes at any moment from the start of the process on, one at any moment from the first
checkpoint on, one while a checkpoint is written or just has been.
"""

import argparse
import collections
import contextlib
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.timing import write  # noqa: E402
from core.registry.store import open_registry  # noqa: E402
from tests.a5ctl.conftest import write_problems  # noqa: E402
from tests.models import write_model  # noqa: E402

_TIMINGS = {"step_seconds", "tokens_per_second"}
_DEADLINE_S = 600


class Workspace:
    """A folder with a small model, small data, and runs of one setting.

    Args:
        folder: Where all of it goes.
        steps: Updates of each run.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self.home = folder / "home"
        self.options = [
            *("--model", str(write_model(folder / "model")), "--data", str(folder / "data")),
            *("--engine", "hf", "--size", "20", "--steps", str(steps), "--batch-size", "4"),
            *("--lr", "1e-3", "--threads", "1", "--max-tokens", "12"),
            *("--eval-every", str(max(1, steps // 3)), "--set", "train.checkpoint_every=1"),
        ]
        (folder / "data").mkdir()
        write_problems(folder / "data" / "train.jsonl", 40)
        write_problems(folder / "data" / "test.jsonl", 12, offset=100)

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the program."""
        return subprocess.Popen(
            [sys.executable, "-m", "a5ctl", *arguments, "--quiet"],
            env={
                **os.environ,
                "A5CTL_HOME": str(self.home),
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": str(ROOT),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, name: str) -> subprocess.Popen[bytes]:
        """Start a run of this name, or go on with it."""
        if self.known(name):
            return self.begin("resume", name)
        return self.begin("run", "sft", *self.options, "--name", name)

    def known(self, name: str) -> bool:
        """Whether the registry has heard of it."""
        if not (self.home / "registry.db").exists():
            return False
        registry = open_registry(f"sqlite:///{self.home / 'registry.db'}")
        try:
            return any(run.name == name for run in registry.runs())
        finally:
            registry.close()

    def outcome(self, name: str) -> dict[str, Any]:
        """Status, curves, responses and weights of a run."""
        registry = open_registry(f"sqlite:///{self.home / 'registry.db'}")
        try:
            run = registry.find_run(name)
            curves = {
                metric: [(point.step, point.value) for point in points]
                for metric, points in registry.metrics(run.uuid).items()
                if metric not in _TIMINGS
            }
            responses = sorted(
                (found.step, [response.text for response in registry.responses(found.uuid)])
                for found in registry.evaluations([run.uuid])
            )
            newest = max((self.home / "runs" / run.id / "checkpoints").glob("step-*"))
            weights = hashlib.sha256((newest / "model.safetensors").read_bytes()).hexdigest()
            return {
                "status": run.status,
                "curves": curves,
                "responses": responses,
                "weights": weights,
            }
        finally:
            registry.close()

    def partials(self) -> set[tuple[str, int]]:
        """Checkpoints that are half-written or half-deleted, now or since a kill."""
        found = set()
        for path in self.home.glob("runs/*/checkpoints/.partial-*"):
            with contextlib.suppress(FileNotFoundError):
                found.add((path.name, path.stat().st_ino))
        return found

    def newest(self) -> str:
        """The newest checkpoint of the newest run."""
        folder = max(self.home.glob("runs/*"), key=os.path.getctime, default=self.home)
        return max((path.name for path in folder.glob("checkpoints/step-*")), default="none")


def await_partials(
    workspace: Workspace, process: subprocess.Popen[bytes], before: set[tuple[str, int]], count: int
) -> None:
    """Return when that many checkpoints have been begun, or the process has ended."""
    seen = set(before)
    while process.poll() is None and len(seen - before) < count:
        seen |= workspace.partials()
        time.sleep(0.0005)


def kill_at_random(
    workspace: Workspace, name: str, draw: random.Random, length: float, training: float
) -> str | None:
    """Start or resume a run and kill it; where that hit it, or None when it got through first."""
    before = workspace.partials()
    process = workspace.run(name)
    moment = draw.choice(("any", "training", "checkpoint"))
    if moment == "any":
        time.sleep(draw.uniform(0, length))
    elif moment == "training":
        await_partials(workspace, process, before, 1)
        time.sleep(draw.uniform(0, training))
    else:
        await_partials(workspace, process, before, draw.randint(1, 6))
        time.sleep(draw.uniform(0, 0.02))
    process.kill()
    if process.wait() == 0:
        return None
    return "while a checkpoint was written" if workspace.partials() - before else "elsewhere"


def finished(process: subprocess.Popen[bytes]) -> None:
    """Wait for a run that nobody kills.

    Raises:
        SystemExit: it failed.
    """
    output, _ = process.communicate(timeout=_DEADLINE_S)
    if process.returncode:
        raise SystemExit(f"a run failed: {output.decode(errors='replace')}")


def main() -> None:
    """Kill, resume, compare, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--in-a-row", type=int, default=4, help="kills before a run may finish")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder), given.steps)
        started = time.perf_counter()
        process = workspace.run("untouched")
        await_partials(workspace, process, set(), 1)
        begun = time.perf_counter()
        finished(process)
        ended = time.perf_counter()
        expected = workspace.outcome("untouched")
        killed, runs, places = 0, 0, collections.Counter[str]()
        while killed < given.kills:
            runs += 1
            name = f"killed-{runs}"
            for _ in range(given.in_a_row):
                place = kill_at_random(workspace, name, draw, ended - started, ended - begun)
                if place is None:
                    break
                killed += 1
                places[place] += 1
                print(f"{killed:3} {name} {place}, newest {workspace.newest()}", flush=True)
            else:
                finished(workspace.run(name))
            found = workspace.outcome(name)
            if wrong := [part for part, value in expected.items() if found[part] != value]:
                raise SystemExit(f"{name} differs from the untouched run in {', '.join(wrong)}")
            print(f"    {name} equals the untouched run", flush=True)
    result = {"kills": killed, "runs": runs, "differing": 0, "places": dict(places)}
    write("kills", {"steps": given.steps, "seed": given.seed, **result})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
