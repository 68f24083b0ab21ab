"""What recording, progress, watchdog and bookkeeping add to an update, on a terminal and piped.

    python benchmarks/step_overhead.py --steps 60 --repeat 5

Each measurement is a real `a5ctl run sft` on the built-in model with one thread, ended behind its
last update but before what follows it. Between two updates the training thread does nothing but
record, show, watch and count: `thread` is that time per step, in CPU and in wall milliseconds.
`others` is the CPU time per step of all other threads (recorder, screen), which a machine with
two cores hardly notices and one with a single core pays. Figures go to
benchmarks/results/step_overhead.json.
"""

import argparse
import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
_RESULT = "A5CTL_BENCHMARK_RESULT"
_WARM_UP = 5  # first updates import what they need and fill caches


def once(arguments: list[str]) -> None:
    """Be `a5ctl`, and end behind the last update with the figures in a file."""
    from a5ctl.process import prepare_process

    prepare_process()
    from a5ctl.__main__ import main as program
    from trainers.sft import SFT

    update = SFT.update
    marks: list[tuple[float, float, float]] = []

    def marked(method: SFT, step: int) -> dict[str, float]:
        marks.append((time.perf_counter(), time.thread_time(), time.process_time()))
        found = update(method, step)
        marks.append((time.perf_counter(), time.thread_time(), time.process_time()))
        if step == method.total_steps:
            path = Path(os.environ[_RESULT])
            path.write_text(json.dumps(figures(marks)), encoding="utf-8")
            os._exit(0)
        return found

    SFT.update = marked
    sys.argv = ["a5ctl", *arguments]
    program()


def figures(marks: list[tuple[float, float, float]]) -> dict[str, float]:
    """Milliseconds per step, and the share of the step.

    Args:
        marks: Wall, thread CPU and process CPU seconds before and after each update.
    """
    marks = marks[2 * _WARM_UP :]
    begins, ends = marks[0::2], marks[1::2]
    gaps = list(zip(ends[:-1], begins[1:], strict=True))
    steps = len(begins)
    wall, thread, process = (marks[-1][i] - marks[0][i] for i in range(3))
    cpu = [after[1] - before[1] for before, after in gaps]
    step = wall / steps
    others = (process - thread) / steps
    return {
        "step": 1e3 * step,
        "thread_cpu_median": 1e3 * statistics.median(cpu),
        "thread_cpu_mean": 1e3 * statistics.fmean(cpu),
        "thread_wall_median": 1e3 * statistics.median(b[0] - a[0] for a, b in gaps),
        "others_cpu": 1e3 * others,
        "percent_of_step": 100 * (statistics.fmean(cpu) + others) / step,
        "percent_of_step_cpu": 100 * (statistics.fmean(cpu) + others) * steps / process,
    }


def measure(steps: int, *, terminal: bool) -> dict[str, float]:
    """Figures of one run, shown on a pseudo-terminal or piped."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "figures.json"
        command = [sys.executable, __file__, "--once", "run", "sft", "--size", "256"]
        command += ["--steps", str(steps), "--threads", "1", "--engine", "hf", "--home", folder]
        for setting in ("evaluation.at_start=false", f"train.checkpoint_every={steps}"):
            command += ["--set", setting]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), _RESULT: str(result)}
        environment |= {"TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
        reader, writer = pty.openpty() if terminal else os.pipe()
        drain = threading.Thread(target=_drain, args=(reader,), daemon=True)
        drain.start()
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            check=False,
        )
        os.close(writer)
        if done.returncode:
            raise SystemExit(f"the run ended with {done.returncode}: {' '.join(command)}")
        return json.loads(result.read_text(encoding="utf-8"))


def _drain(reader: int) -> None:
    """Read what a person would see, until the other side is closed."""
    try:
        while os.read(reader, 1 << 16):
            pass
    except OSError:  # how a pseudo-terminal says that it is closed
        os.close(reader)


def main() -> None:
    """Measure, print, and write the figures."""
    if sys.argv[1:2] == ["--once"]:
        once(sys.argv[2:])
        return
    sys.path.insert(0, str(ROOT))
    from benchmarks.timing import summary, write

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    taken: dict[str, list[dict[str, float]]] = {"terminal": [], "piped": []}
    for _ in range(given.repeat):
        for name, found in taken.items():
            found.append(measure(given.steps, terminal=name == "terminal"))
    result = {
        name: {key: summary([one[key] for one in found]) for key in found[0]}
        for name, found in taken.items()
    }
    for name, found in result.items():
        print(name)
        for key, figure in found.items():
            print(f"   {key:20} median {figure['median']:8.3f}   min {figure['min']:8.3f}")
    settings = {"steps": given.steps, "repeat": given.repeat, "load": os.getloadavg()[0]}
    write("step_overhead", {**settings, "milliseconds_per_step": result})


if __name__ == "__main__":
    main()
