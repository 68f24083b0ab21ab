"""What recording a step costs beside MLflow, W&B offline, trackio, Aim and TensorBoard.

    python benchmarks/recording_cost.py --peer-python PEER/bin/python

Each tool records the same steps of the same metrics, as its documentation has it, in processes that
take turns. Three figures, per step:

- `call`: how long the training thread waits, median;
- `stored`: wall time until the tool says that it has everything, over all steps in a row;
- `cpu`: processor time of the process and of those it started, on all their threads. A second
  process that records one step only tells what starting costs, which is taken off.

The steps come as fast as the tool takes them, and then `--pace` seconds apart, as training would
have it: what a tool writes at once in the first case it may have to write bit by bit in the second.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.peers.recording import Peer, measure  # noqa: E402
from benchmarks.timing import write  # noqa: E402

OURS = "a5ctl"
PEERS = ("mlflow", "mlflow_in_background", "wandb", "trackio", "aim", "tensorboard")


def ours(folder: Path) -> Peer:
    """The recorder of a run."""
    from core.registry.recorder import Recorder
    from core.registry.records import NewRun
    from core.registry.store import open_registry
    from core.workspace import open_workspace

    workspace = open_workspace(folder)
    registry = open_registry(workspace.registry_url())
    run = registry.create_run(NewRun("sft", {}, "0" * 16, "builtin", "builtin", seed=0))
    recorder = Recorder(registry, run.uuid, workspace.run_folder(run.id)).__enter__()

    def close() -> None:
        if not recorder.flush(timeout=600):
            raise SystemExit(f"the registry does not hold everything: {recorder.problem}")
        recorder.__exit__(None, None, None)
        registry.close()

    return Peer(recorder.metrics, close)


def process(tool: str, given: argparse.Namespace, steps: int, pace: float) -> dict[str, Any]:
    """Run one tool in a fresh process and folder; its figures with the processor time of all of it.

    Raises:
        SystemExit: the process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        how = ["--steps", str(steps), "--metrics", str(given.metrics), "--pace", str(pace)]
        how += ["--folder", folder]
        script = ROOT / "benchmarks" / "peers" / "recording.py"
        command = [given.peer_python, str(script), tool, *how]
        if tool == OURS:
            command = [sys.executable, __file__, "--once", *how]
        before = os.times()
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)} if tool == OURS else None,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        after = os.times()
        if done.returncode:
            raise SystemExit(f"{tool} failed:\n{done.stderr[-2000:]}")
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    found = json.loads(done.stdout.strip().splitlines()[-1])
    cpu = sum(
        getattr(after, key) - getattr(before, key) for key in ("children_user", "children_system")
    )
    return {**found, "cpu": cpu, "bytes": size}


def figures(tool: str, given: argparse.Namespace, pace: float) -> dict[str, float]:
    """Per step, in seconds."""
    one = process(tool, given, 1, 0.0)
    many = process(tool, given, given.steps, pace)
    steps = given.steps
    return {
        "call": statistics.median(many["calls"]),
        "calls": sum(many["calls"]) / steps,
        "stored": many["stored"] / steps,
        "cpu": (many["cpu"] - one["cpu"]) / (steps - 1),
        "bytes": (many["bytes"] - one["bytes"]) / (steps - 1),
    }


def medians(given: argparse.Namespace, pace: float) -> dict[str, dict[str, float]]:
    """Medians over the rounds, by tool."""
    taken: dict[str, list[dict[str, float]]] = {tool: [] for tool in (OURS, *given.peers)}
    for _ in range(given.repeat):
        for tool, found in taken.items():
            found.append(figures(tool, given, pace))
    return {
        tool: {name: statistics.median(one[name] for one in found) for name in found[0]}
        for tool, found in taken.items()
    }


def show(title: str, found: dict[str, dict[str, float]]) -> None:
    """One line per tool: microseconds, and how many times ours that is."""
    ours = found[OURS]
    print(f"\n{title}\n{'':22}{'call':>18}{'stored':>18}{'cpu':>18}{'bytes':>10}")
    for tool, one in found.items():
        cells = [
            f"{1e6 * one[name]:9.1f} us {one[name] / ours[name]:5.1f}x"
            for name in ("call", "stored", "cpu")
        ]
        print(f"{tool:22}{''.join(f'{cell:>18}' for cell in cells)}{one['bytes']:10.0f}")


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--metrics", type=int, default=20)
    parser.add_argument("--pace", type=float, default=0.02)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        print(json.dumps(measure(ours(given.folder), given.steps, given.metrics, given.pace)))
        return
    if given.peer_python is None:
        parser.error("--peer-python names the Python in which the other tools are")
    in_a_row, paced = medians(given, 0.0), medians(given, given.pace)
    show(f"{given.metrics} metrics, one step after the other", in_a_row)
    show(f"{given.metrics} metrics, {given.pace} s apart", paced)
    settings = {"steps": given.steps, "metrics": given.metrics, "repeat": given.repeat}
    write(
        "recording_cost",
        {**settings, "pace": given.pace, "in_a_row": in_a_row, "paced": paced},
    )


if __name__ == "__main__":
    main()
