"""Every benchmark in one go, peers at their best settings: `make bench`.

    python benchmarks/all.py --list
    python benchmarks/all.py --work build/bench
    python benchmarks/all.py --only sft_speed cli_latency --peer-python PEER/bin/python

Peers get environments of their own under --work, made once with the versions of `PACKAGES`, unless
--peer-python and --tracker-python say where they are. A benchmark that fails or takes longer than
its limit is told at the end, and the others run all the same. Each writes its own JSON under
benchmarks/results; docs/performance.py makes the page of it.
"""

import argparse
import subprocess
import sys
import time
import venv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PEER = "peer"
TRACKERS = "trackers"
PACKAGES = {
    PEER: ("torch==2.13.0", "transformers==5.19.0", "trl==1.16.0"),
    TRACKERS: (
        *("mlflow==3.17.2", "wandb==0.31.0", "trackio==0.43.0", "aim==3.29.1"),
        *("tensorboard==2.21.0", "torch==2.13.0"),
    ),
}


@dataclass(frozen=True, slots=True)
class Task:
    """One benchmark.

    Attributes:
        name: Of the script and of its figures.
        arguments: `{data}`, `{work}`, `{peer}` and `{trackers}` are filled in.
        minutes: It is stopped after so many.
        first: More arguments of a first run, which looks for the peer's best settings.
    """

    name: str
    arguments: tuple[str, ...] = ()
    minutes: float = 15
    first: tuple[str, ...] = ()

    @property
    def peer(self) -> str | None:
        """The environment of peers that it needs, if any."""
        found = [name for name in PACKAGES if f"{{{name}}}" in self.arguments]
        return found[0] if found else None


_SEARCH = ("--search",)
TASKS = (
    Task("cli_latency", ("--runs", "1000")),
    Task("startup", ("--repeat", "3")),
    Task("sft_speed", ("--peer-python", "{peer}", "--data", "{data}"), 60, _SEARCH),
    Task("sft_memory", ("--peer-python", "{peer}", "--data", "{data}"), 30),
    Task("grpo_speed", ("--peer-python", "{peer}"), 60, _SEARCH),
    Task("recording_cost", ("--peer-python", "{trackers}"), 30),
    Task("recorder"),
    Task("step_overhead"),
    Task("weight_copy", (), 30),
    Task("checkpoint", (), 20),
    Task("memory", (), 20),
    Task("grading", ("--data", "{data}")),
    Task("fuzz_grading", ("--data", "{data}"), 30),
    Task("diagnose", ("--data", "{data}/test.jsonl")),
    Task("diagnose_scale", ("--data", "{data}/test.jsonl", "--work", "{work}/diagnose"), 30),
    Task("registry_scale", ("--work", "{work}/registry"), 40),
    Task("response_size", ("--data", "{data}")),
    Task("many_writers"),
    Task("kills", ("--kills", "32", "--steps", "40", "--in-a-row", "5"), 40),
    Task("plan_kills", ("--jobs", "2"), 20),
    Task("ray_lost_node", ("--cells", "4"), 20),
)
LEFT_OUT = {
    "gpu_bundle": "makes what is carried to a machine with a GPU",
    "gpu_sft": "needs a GPU",
    "gpu_suite": "needs a GPU; its own command",
    "gpu_memory": "followed on paper, the same on every machine",
    "matrix_rate": "prints one figure of the machine",
    "precision_loss": "about losses, not about speed",
    "registry_generator": "makes what others measure",
    "report_page": "needs a browser and axe-core",
    "sft_time_to_loss": "a check of sft_speed's equality, for a person to read",
    "sft_workload": "makes what others measure",
    "grpo_workload": "makes what others measure",
    "ui_speed": "needs a registry that registry_generator made",
    "watchdog_false_alarms": "needs runs that watchdog_rollouts made",
    "watchdog_rollouts": "needs a trained run to begin from",
}
"""Scripts that are not part of it, and why."""


def environment(name: str, work: Path) -> Path:
    """The Python of an environment of peers; made where it is missing.

    Raises:
        subprocess.CalledProcessError: its packages cannot be installed.
    """
    folder = work / name
    python = folder / "bin/python"
    done = folder / "installed"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES[name]]
        subprocess.run(command, check=True)
        done.write_text("\n".join(PACKAGES[name]) + "\n", encoding="utf-8")
    return python


def run(task: Task, filled: Mapping[str, str]) -> str:
    """Carry one out; what to say of it at the end."""
    command = [sys.executable, str(ROOT / "benchmarks" / f"{task.name}.py")]
    command += [argument.format(**filled) for argument in task.arguments]
    started = time.monotonic()
    try:
        for more in [task.first, ()] if task.first else [()]:
            code = subprocess.run([*command, *more], timeout=60 * task.minutes).returncode
            if code:
                break
    except subprocess.TimeoutExpired:
        return f"stopped after {task.minutes:g} minutes"
    seconds = time.monotonic() - started
    return f"{'done' if code == 0 else f'failed ({code})'} in {seconds:.0f} s"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[task.name for task in TASKS])
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "bench")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/gsm8k")
    parser.add_argument("--peer-python", type=Path, help="has TRL")
    parser.add_argument("--tracker-python", type=Path, help="has MLflow, W&B, trackio and Aim")
    return parser.parse_args()


def main() -> int:
    """Run them in turn, and say how each ended."""
    given = parse()
    chosen = [task for task in TASKS if given.only is None or task.name in given.only]
    if given.list:
        _list(chosen)
        return 0
    given.work.mkdir(parents=True, exist_ok=True)
    filled = {"data": str(given.data), "work": str(given.work.absolute())}
    peers = {PEER: given.peer_python, TRACKERS: given.tracker_python}
    told: dict[str, str] = {}
    for task in chosen:
        print(f"== {task.name}", flush=True)
        try:
            if task.peer is not None:
                peers[task.peer] = peers[task.peer] or environment(task.peer, given.work.absolute())
                filled[task.peer] = str(peers[task.peer])
            told[task.name] = run(task, filled)
        except subprocess.CalledProcessError as error:
            told[task.name] = f"left out: the environment {task.peer} was not made ({error})"
    for name, text in told.items():
        print(f"{name:18} {text}")
    return int(any(not text.startswith("done") for text in told.values()))


def _list(chosen: Iterable[Task]) -> None:
    for task in chosen:
        minutes = task.minutes * (2 if task.first else 1)
        print(f"{task.name:18} at most {minutes:g} min   {' '.join(task.arguments + task.first)}")
    for name, reason in LEFT_OUT.items():
        print(f"{name:18} left out: {reason}")


if __name__ == "__main__":
    sys.exit(main())
