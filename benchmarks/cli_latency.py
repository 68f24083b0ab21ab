"""How long the program takes to answer, as whole processes, in a registry with many runs.

    python benchmarks/cli_latency.py --runs 200 --repeat 7

Fills a temporary registry through the real recorder (each run with 100 steps of 8 metrics and two
evaluations of 32 responses), then times commands in rounds (A B C, A B C, ...) beside a bare
`python -c pass`, and writes medians to benchmarks/results/cli_latency.json.
"""

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.timing import python, rounds, write  # noqa: E402
from core.registry.recorder import Recorder  # noqa: E402
from core.registry.records import NewRun  # noqa: E402
from core.registry.store import open_registry  # noqa: E402
from core.workspace import open_workspace  # noqa: E402
from tests.a5ctl.handmade import evaluation, right, unclosed, wrong  # noqa: E402

STEPS = 100
METRICS = ("loss", "grad_norm", "lr", "tokens", "epoch", "tokens_total", "step_seconds", "padding")
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "a5ctl --help": ["-m", "a5ctl", "--help"],
    "a5ctl ls": ["-m", "a5ctl", "ls"],
    "a5ctl compare": ["-m", "a5ctl", "compare"],
}


def fill(home: Path, runs: int) -> None:
    """Record `runs` runs in a new workspace."""
    workspace = open_workspace(home)
    registry = open_registry(workspace.registry_url())
    answers = [(right, unclosed, wrong)[index % 3](index) for index in range(32)]
    for number in range(runs):
        config = {"kind": "sft", "data": {"size": 128 << number % 4}, "train": {"lr": 1e-3}}
        run = registry.create_run(
            NewRun("sft", config, f"{number % 4:016x}", "builtin", "builtin", seed=number // 4)
        )
        with Recorder(registry, run.uuid, workspace.run_folder(run.id)) as recorder:
            for step in range(1, STEPS + 1):
                recorder.metrics(step, dict.fromkeys(METRICS, step / (number + 1)))
            for step in (0, STEPS):
                recorder.evaluation(evaluation(answers, step=step))
            recorder.finish("finished", "completed")


def seconds(arguments: list[str], home: Path) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    python(arguments, A5CTL_HOME=str(home))
    return time.perf_counter() - started


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), given.runs)
        commands = {name: partial(seconds, args, Path(folder)) for name, args in COMMANDS.items()}
        figures = rounds(commands, given.repeat)
    for name, figure in figures.items():
        print(f"{name:16} median {figure['median']:.3f} s   min {figure['min']:.3f} s")
    settings = {"runs": given.runs, "steps": STEPS, "repeat": given.repeat}
    write("cli_latency", {**settings, "seconds": figures})


if __name__ == "__main__":
    main()
