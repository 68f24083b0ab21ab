"""How long a run takes from the command to its first update, as whole processes.

    python benchmarks/startup.py --repeat 5
    python benchmarks/startup.py --repeat 5 --against ../other-checkout

Each measurement is a fresh process with a fresh workspace that is ended behind its first update,
in rounds (A B C, A B C, ...). Wall seconds count from the start of the command; CPU seconds tell
more on a busy machine. With an evaluation before training, `net` leaves out the seconds that the
engine's start and this evaluation take. Figures go to benchmarks/results/startup.json.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_BEGUN = "A5CTL_BENCHMARK_BEGUN"
_PROBLEMS = 64  # of the evaluation before training, whose time does not count


class Stopwatch:
    """Wall and CPU seconds of calls, of the outermost one where they are nested."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        self._depth = 0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def timed(*args: Any, **settings: Any) -> Any:
            wall, cpu = time.time(), cpu_seconds()
            self._depth += 1
            try:
                return function(*args, **settings)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.wall += time.time() - wall
                    self.cpu += cpu_seconds() - cpu

        return timed


def cpu_seconds() -> float:
    """CPU seconds of this process so far, of all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def once(arguments: list[str]) -> None:
    """Be `a5ctl`, and end behind the first update with the figures on standard output."""
    begun = float(os.environ[_BEGUN])
    from a5ctl.process import prepare_process

    prepare_process()
    import trainers.evaluator as evaluation
    import trainers.live_engine as engines
    from a5ctl.__main__ import main as program
    from trainers.sft import SFT

    watch = Stopwatch()
    engines.build_engine = watch.around(engines.build_engine)
    evaluation.Evaluator.evaluate = watch.around(evaluation.Evaluator.evaluate)
    update = SFT.update

    def first_update(method: SFT, step: int) -> None:
        wall, cpu = time.time() - begun, cpu_seconds()
        update(method, step)
        figures = {
            "begins": wall,
            "begins_cpu": cpu,
            "ends": time.time() - begun,
            "ends_cpu": cpu_seconds(),
            "evaluation": watch.wall,
            "net": wall - watch.wall,
            "net_cpu": cpu - watch.cpu,
        }
        os.write(1, json.dumps(figures).encode())
        os._exit(0)

    SFT.update = first_update
    sys.argv = ["a5ctl", *arguments]
    program()


def measure(tree: Path, engine: str, at_start: bool) -> dict[str, float]:
    """Figures of one process in a fresh workspace."""
    options = ["--engine", engine, "--set", f"evaluation.at_start={str(at_start).lower()}"]
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, __file__, "--once", "run", "sft", "--size", "256", "--quiet"]
        done = subprocess.run(
            [*command, "--eval-limit", str(_PROBLEMS), "--home", home, *options],
            env={**os.environ, "PYTHONPATH": str(tree), _BEGUN: str(time.time())},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(done.stderr.decode(errors="replace") + done.stdout.decode())
    return json.loads(done.stdout)


def main() -> None:
    """Measure, print, and write the figures."""
    if sys.argv[1:2] == ["--once"]:
        once(sys.argv[2:])
        return
    sys.path.insert(0, str(ROOT))
    from benchmarks.timing import summary, write

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--engines", default="hf,vllm")
    parser.add_argument("--at-start", default="false,true", help="with, without, or both")
    parser.add_argument("--against", type=Path, help="another checkout, measured in turn")
    given = parser.parse_args()
    trees = {"here": ROOT} | ({"against": given.against.resolve()} if given.against else {})
    cases = [
        (f"{name} {engine} at_start={at_start}", tree, engine, at_start == "true")
        for engine in given.engines.split(",")
        for at_start in given.at_start.split(",")
        for name, tree in trees.items()
    ]
    taken: dict[str, list[dict[str, float]]] = {name: [] for name, *_ in cases}
    for _ in range(given.repeat + 1):
        for name, tree, engine, at_start in cases:
            taken[name].append(measure(tree, engine, at_start))
    figures = {
        name: {key: summary([one[key] for one in found[1:]]) for key in found[0]}
        for name, found in taken.items()
    }
    for name, found in figures.items():
        print(name)
        for key, figure in found.items():
            print(f"   {key:12} median {figure['median']:7.3f} s   min {figure['min']:7.3f} s")
    write("startup", {"repeat": given.repeat, "load": os.getloadavg()[0], "seconds": figures})


if __name__ == "__main__":
    main()
