"""Records the same steps with one tool, as its own documentation has it; runs in the peers' Python.

Prints one line of JSON: seconds of every call, and of the whole until the tool says it has all.
`benchmarks/recording_cost.py` starts it.
"""

import argparse
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Values = Mapping[str, float]


@dataclass(frozen=True)
class Peer:
    """How one tool takes a step, and how it is asked to have stored everything."""

    log: Callable[[int, Values], None]
    close: Callable[[], None]


def mlflow(folder: Path, *, synchronous: bool = True) -> Peer:
    """MLflow with its SQLite store, which is its default."""
    import mlflow as tool

    logging.getLogger("alembic").setLevel(logging.ERROR)
    tool.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    tool.set_experiment("steps")
    tool.start_run()

    def log(step: int, values: Values) -> None:
        tool.log_metrics(dict(values), step=step, synchronous=synchronous)

    def close() -> None:
        if not synchronous:
            tool.flush_async_logging()
        tool.end_run()

    return Peer(log, close)


def mlflow_in_background(folder: Path) -> Peer:
    """MLflow, logging from a thread of its own."""
    return mlflow(folder, synchronous=False)


def wandb(folder: Path) -> Peer:
    """W&B without a network."""
    import wandb as tool

    settings = tool.Settings(silent=True, console="off", x_disable_stats=True, disable_git=True)
    run = tool.init(project="steps", mode="offline", dir=str(folder), settings=settings)
    return Peer(lambda step, values: run.log(dict(values), step=step), run.finish)


def trackio(folder: Path) -> Peer:
    """Trackio with its local store."""
    import trackio as tool

    tool.init(project="steps", embed=False)
    return Peer(lambda step, values: tool.log(dict(values), step=step), tool.finish)


def aim(folder: Path) -> Peer:
    """Aim with a repository of its own."""
    from aim import Run

    run = Run(repo=str(folder), system_tracking_interval=None, capture_terminal_logs=False)
    return Peer(lambda step, values: run.track(dict(values), step=step), run.close)


def tensorboard(folder: Path) -> Peer:
    """The summary writer that comes with torch."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))

    def log(step: int, values: Values) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    return Peer(log, writer.close)


PEERS = {
    tool.__name__: tool for tool in (mlflow, mlflow_in_background, wandb, trackio, aim, tensorboard)
}


def measure(peer: Peer, steps: int, metrics: int, pace: float) -> dict[str, object]:
    """Take the steps, `pace` seconds apart at least; times in seconds."""
    calls = []
    begun = time.perf_counter()
    for step in range(steps):
        values = {f"train/metric_{number}": 0.5 * number + step for number in range(metrics)}
        started = time.perf_counter()
        peer.log(step, values)
        calls.append(time.perf_counter() - started)
        if pace:
            time.sleep(pace)
    peer.close()
    return {"calls": calls, "stored": time.perf_counter() - begun}


def main() -> None:
    """Measure one tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tool", choices=PEERS)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--metrics", type=int, required=True)
    parser.add_argument("--pace", type=float, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    os.environ.update(TRACKIO_DIR=str(given.folder), HF_HUB_OFFLINE="1")
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", AIM__TELEMETRY_ENABLED="0")
    peer = PEERS[given.tool](given.folder)
    print(json.dumps(measure(peer, given.steps, given.metrics, given.pace)))


if __name__ == "__main__":
    main()
