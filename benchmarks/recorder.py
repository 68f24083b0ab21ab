"""What recording costs: the training thread per step, and the whole until all is in the registry.

    python benchmarks/recorder.py --steps 2000 --metrics 12 --repeat 7

Every measurement is a fresh process with a fresh registry in a temporary folder.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.timing import python, summary, write  # noqa: E402
from core.registry.recorder import Recorder  # noqa: E402
from core.registry.records import NewRun  # noqa: E402
from core.registry.store import open_registry  # noqa: E402
from core.workspace import open_workspace  # noqa: E402


def once(steps: int, metrics: int) -> dict[str, float]:
    """Seconds of the median call, of all calls, and until the registry holds everything."""
    values = {f"metric_{number}": 0.5 * number for number in range(metrics)}
    calls = []
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(Path(folder))
        registry = open_registry(workspace.registry_url())
        run = registry.create_run(NewRun("sft", {}, "0" * 16, "builtin", "builtin", seed=0))
        with Recorder(registry, run.uuid, workspace.run_folder(run.id)) as recorder:
            begun = time.perf_counter()
            for step in range(steps):
                started = time.perf_counter()
                recorder.metrics(step, values)
                calls.append(time.perf_counter() - started)
            if not recorder.flush(timeout=600):
                raise SystemExit(f"the registry does not hold everything: {recorder.problem}")
            stored = time.perf_counter() - begun
        registry.close()
    return {"call": statistics.median(calls), "calls": sum(calls), "stored": stored}


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--metrics", type=int, default=12)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        print(json.dumps(once(given.steps, given.metrics)))
        return
    command = [__file__, "--once", "--steps", str(given.steps), "--metrics", str(given.metrics)]
    taken = [json.loads(python(command)) for _ in range(given.repeat + 1)]
    figures = {name: summary([one[name] for one in taken[1:]]) for name in taken[0]}
    points = given.steps * given.metrics
    us = 1e6 * figures["call"]["median"]
    print(f"one step of {given.metrics} metrics: {us:.1f} us, {us / given.metrics:.2f} us a point")
    for name, figure in figures.items():
        print(f"{name:7} median {figure['median']:.6f} s   min {figure['min']:.6f} s")
    print(f"{points / figures['stored']['median']:.0f} points a second until all is stored")
    settings = {"steps": given.steps, "metrics": given.metrics, "repeat": given.repeat}
    write("recorder", {**settings, "seconds": figures})


if __name__ == "__main__":
    main()
