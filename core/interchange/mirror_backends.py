"""The mirrors there are: TensorBoard logs, W&B and MLflow. Each package is imported when needed."""

import json
import os
import re
from collections.abc import Callable
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.batches import batched
from core.errors import UserError
from core.interchange.event_writer import EventWriter
from core.interchange.mirror_feed import Mirror

_PROJECT = "a5ctl"
_MLFLOW_NAME = re.compile(r"[^\w .:/-]")
_MLFLOW_BATCH = 500
_MLFLOW_PARAMS = 100
_MLFLOW_LONGEST = 500


class MirrorName(StrEnum):
    """What `--mirror` takes."""

    TENSORBOARD = "tensorboard"
    WANDB = "wandb"
    MLFLOW = "mlflow"


def check_mirror(name: str) -> MirrorName:
    """The mirror of this name.

    Raises:
        UserError: there is none, or its package is not installed.
    """
    if name not in set(MirrorName):
        raise UserError(f"--mirror {name!r} is unknown; choose {', '.join(MirrorName)}")
    # event files are written here, so that TensorBoard is needed only to look at them
    if name != MirrorName.TENSORBOARD and not _installed(name):
        raise UserError(
            f"--mirror {name} needs the package {name}; install it with pip install {name}, or "
            "leave the option out"
        )
    return MirrorName(name)


def _installed(name: str) -> bool:
    """W&B leaves a folder `wandb` where it works; Python would import that as an empty package."""
    spec = find_spec(name)
    return spec is not None and spec.origin is not None


def mirror_maker(name: MirrorName, folder: Path) -> Callable[[], Mirror]:
    """Makes a mirror when it is called.

    Args:
        folder: Where mirrors of this workspace keep files; made when missing.
    """
    makers: dict[MirrorName, Callable[[Path], Mirror]] = {
        MirrorName.TENSORBOARD: TensorBoardMirror,
        MirrorName.WANDB: WandbMirror,
        MirrorName.MLFLOW: MlflowMirror,
    }
    return lambda: makers[name](folder)


class TensorBoardMirror:
    """Event files under `tensorboard/RUN`; look at them with `tensorboard --logdir`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / MirrorName.TENSORBOARD
        self._writer: EventWriter | None = None

    def begin(self, columns: dict[str, Any]) -> None:
        """Make the run's folder and write its settings."""
        place = self._folder / str(columns["id"])
        place.mkdir(parents=True, exist_ok=True)
        began = float(columns["created"])
        path = place / f"events.out.tfevents.{int(began)}.{columns['id']}.a5ctl"
        self._writer = EventWriter(path, began)
        self._writer.text("config", 0, began, str(columns["config"]))

    def metrics(self, step: int, time: float, values: dict[str, float]) -> None:
        """Write a point of every metric."""
        assert self._writer is not None
        for name, value in values.items():
            self._writer.scalar(name, step, time, value)

    def event(self, step: int | None, time: float, text: str) -> None:
        """Write a text."""
        assert self._writer is not None
        self._writer.text("events", step or 0, time, text)

    def flush(self) -> None:
        """Let TensorBoard see it."""
        assert self._writer is not None
        self._writer.flush()

    def end(self, status: str) -> None:
        """Close the file."""
        assert self._writer is not None
        self._writer.close()


class WandbMirror:
    """A W&B run; offline where W&B has no key, for `wandb sync` to send later.

    W&B drops what goes back in steps, so that the step is a metric (`step`) and every other one is
    drawn over it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._run: Any = None

    def begin(self, columns: dict[str, Any]) -> None:
        """Start the run there."""
        import wandb

        self._folder.mkdir(parents=True, exist_ok=True)
        # without a key W&B would ask for one, and wait for an answer that never comes
        offline = "WANDB_MODE" not in os.environ and not wandb.api.api_key
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=columns.get("name") or columns["id"],
            group=columns.get("group"),
            tags=[tag[:64] for tag in json.loads(columns["tags"]) if tag] or None,
            notes=columns.get("note") or None,
            config={**json.loads(columns["config"]), "a5ctl_run": columns["id"]},
            dir=str(self._folder),
            mode="offline" if offline else None,
            settings=wandb.Settings(
                silent=True, console="off", x_disable_stats=True, disable_git=True
            ),
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def metrics(self, step: int, time: float, values: dict[str, float]) -> None:
        """Log a row."""
        self._run.log({**values, "step": step})

    def event(self, step: int | None, time: float, text: str) -> None:
        """W&B has alerts for people, and no place for a story; nothing is sent."""

    def flush(self) -> None:
        """W&B sends on its own."""

    def end(self, status: str) -> None:
        """Finish the run there with the exit code that fits."""
        self._run.finish(exit_code=0 if status == "finished" else 1)


class MlflowMirror:
    """An MLflow run in the experiment `a5ctl`, in the store that MLFLOW_TRACKING_URI names."""

    def __init__(self, folder: Path) -> None:
        import mlflow
        from mlflow.tracking import MlflowClient

        folder.mkdir(parents=True, exist_ok=True)
        own = f"sqlite:///{folder / 'mlflow.db'}"
        given = os.environ.get("MLFLOW_TRACKING_URI")
        self._client = MlflowClient(tracking_uri=given or own)
        self._entities = mlflow.entities
        self._run_id = ""
        self._waiting: list[Any] = []

    def begin(self, columns: dict[str, Any]) -> None:
        """Create the run with its settings as parameters."""
        title = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
        known = self._client.get_experiment_by_name(title)
        experiment = known.experiment_id if known else self._client.create_experiment(title)
        tags = {"a5ctl.run": columns["id"], "mlflow.note.content": columns.get("note") or ""}
        tags |= {tag[:200]: "" for tag in json.loads(columns["tags"]) if tag}
        run = self._client.create_run(
            experiment, tags=tags, run_name=columns.get("name") or columns["id"]
        )
        self._run_id = run.info.run_id
        flat = sorted(_flat(json.loads(columns["config"])).items())
        params = [
            self._entities.Param(_mlflow_name(name), str(value)[:_MLFLOW_LONGEST])
            for name, value in flat
        ]
        for batch in batched(params, _MLFLOW_PARAMS):
            self._client.log_batch(self._run_id, params=batch)

    def metrics(self, step: int, time: float, values: dict[str, float]) -> None:
        """Keep values for the next batch."""
        for name, value in values.items():
            point = self._entities.Metric(_mlflow_name(name), value, int(1000 * time), step)
            self._waiting.append(point)

    def event(self, step: int | None, time: float, text: str) -> None:
        """MLflow has no place for a story; nothing is sent."""

    def flush(self) -> None:
        """Send the batch."""
        while self._waiting:
            part = self._waiting[:_MLFLOW_BATCH]
            self._client.log_batch(self._run_id, metrics=part)
            del self._waiting[: len(part)]

    def end(self, status: str) -> None:
        """Settle the run there."""
        there = {"finished": "FINISHED", "failed": "FAILED"}.get(status, "KILLED")
        self._client.set_terminated(self._run_id, status=there)


def _mlflow_name(name: str) -> str:
    return _MLFLOW_NAME.sub("_", name)[:250]


def _flat(tree: dict[str, Any], top: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{top}{name}.")
        else:
            found[f"{top}{name}"] = value
    return found
