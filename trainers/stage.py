"""What one run works with: its settings, its folder, and whom it reports to."""

from dataclasses import dataclass
from pathlib import Path

from core.config.load import config_hash, to_toml, to_tree
from core.config.schema import RunConfig
from core.registry.recorder import Recorder
from core.registry.store import Registry, RunRecord
from core.whole_files import write_whole
from core.workspace import CHECKPOINTS, CONFIG
from trainers.distributed.world import ALONE, World
from trainers.interrupt import Interrupts
from trainers.observer import Observer, Severity
from trainers.prepare import Prepared


@dataclass(slots=True)
class Stage:
    """Shared by everything that happens inside one run.

    Attributes:
        run: The registry's row.
        config: The resolved config; grows when choices are made at run time.
        prepared: Problems, template, model folder, device, engine.
        folder: The run's folder.
        registry: Where the run's row lives.
        recorder: Where everything else goes.
        observer: Who watches.
        interrupts: Ctrl-C and SIGTERM.
        resuming: The run was started before.
        world: The processes that train together.
        stop_after: End behind this update, though more would follow.
    """

    run: RunRecord
    config: RunConfig
    prepared: Prepared
    folder: Path
    registry: Registry
    recorder: Recorder
    observer: Observer
    interrupts: Interrupts
    resuming: bool = False
    world: World = ALONE
    stop_after: int | None = None

    @property
    def checkpoint_folder(self) -> Path:
        """Where the run's checkpoints are."""
        return self.folder / CHECKPOINTS

    @property
    def token_cache(self) -> Path:
        """Where tokenized examples are kept from run to run, beside the folder of all runs."""
        return self.folder.parents[1] / "cache" / "tokens"

    def event(self, severity: Severity, kind: str, message: str, step: int | None = None) -> None:
        """Record an event and tell the observer."""
        self.recorder.event(severity, kind, message, step=step)
        self.observer.event(severity, message, step)

    def keep_choice(self, config: RunConfig) -> None:
        """Store choices that were made at run time, so that a resume makes the same ones."""
        self.config = config
        write_config(self.folder, config)
        self.recorder.choices(to_tree(config), config_hash(config))


def write_config(folder: Path, config: RunConfig) -> None:
    """Write `config.toml` into a run folder, whole or not at all.

    Raises:
        OSError: it cannot be written; names the file.
    """
    final = folder / CONFIG
    try:
        write_whole(final, to_toml(config))
    except OSError as error:
        raise OSError(f"{final} could not be written: {error.strerror}") from error
