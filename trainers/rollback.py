"""Going back to a checkpoint: what is undone, and at which learning rate the run goes on.

A note beside the checkpoints says it, and is written whole before anything else happens. A process
that is killed anywhere goes on as if it had not been: the next one finishes what the note says.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import Tensor

from core.errors import UserError
from core.whole_files import write_whole
from trainers.checkpoint import TrainerState, checkpoint_step, checkpoints, restore
from trainers.optimization import Optimizer
from trainers.policy import Policy, load_policy
from trainers.precision import FLOAT32
from trainers.rng import restore_rng

_NOTE = "rollback.json"


@dataclass(frozen=True, slots=True)
class Rollback:
    """The latest rollback of a run.

    Attributes:
        step: Where the run went on from.
        lr_factor: The learning rate is multiplied by it since.
        count: Rollbacks so far.
        undone: Steps of the checkpoints that it takes back; empty once they are gone.
        finished: They are gone, and the registry knows.
    """

    step: int
    lr_factor: float
    count: int
    undone: tuple[int, ...]
    finished: bool


@dataclass(frozen=True, slots=True)
class Rewinder:
    """Puts a policy and its optimizer back, inside a living process.

    Attributes:
        policy: What learns.
        optimizer: Over its parameters.
        initial: Folder of the weights that the run started from.
        initial_rng: All generators as they were before the first update.
    """

    policy: Policy
    optimizer: Optimizer
    initial: Path
    initial_rng: Mapping[str, Tensor]

    def back_to(self, checkpoint: Path | None) -> TrainerState:
        """Load a checkpoint, or what the run started from, into the live policy."""
        fresh = load_policy(
            checkpoint or self.initial, device="cpu", precision=FLOAT32.name, quick=False
        )
        self.policy.put_back(fresh.model.state_dict())
        if checkpoint is not None:
            return restore(checkpoint, self.optimizer, self.policy.device)
        self.optimizer.restore({})
        restore_rng(dict(self.initial_rng))
        return TrainerState()


def note_rollback(folder: Path, rollback: Rollback) -> None:
    """Write the note, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / _NOTE, json.dumps(asdict(rollback)))


def latest_rollback(folder: Path) -> Rollback | None:
    """The note; None before the first rollback.

    Raises:
        UserError: it is damaged.
    """
    path = folder / _NOTE
    if not path.is_file():
        return None
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Rollback(**{**fields, "undone": tuple(fields["undone"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} is damaged ({error}), so the run cannot go on exactly; start it again"
        ) from error


def finish_rollback(folder: Path) -> Rollback | None:
    """Delete the checkpoints that the latest rollback took back, unless that is done.

    Returns:
        The rollback that had to be finished.
    """
    rollback = latest_rollback(folder)
    if rollback is None or rollback.finished:
        return None
    for path in checkpoints(folder):
        if checkpoint_step(path) in rollback.undone:
            shutil.rmtree(path)
    note_rollback(folder, replace(rollback, undone=(), finished=True))
    return rollback


def after_rollbacks(folder: Path, state: TrainerState) -> TrainerState:
    """A restored state as the run goes on with it: checkpoints may be older than a rollback."""
    rollback = latest_rollback(folder)
    if rollback is None or state.rollbacks >= rollback.count:
        return state
    return replace(state, lr_factor=rollback.lr_factor, rollbacks=rollback.count)
