"""What stands in the places of recorder, registry and evaluator in all but the main process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.config.schema import RunConfig
from core.evaluation import EvaluationResult
from core.registry.database import Database
from core.registry.recorder import Recorder
from core.registry.records import RunStatus
from core.registry.store import Registry
from trainers.observer import Severity
from trainers.stage import Stage


class SilentRecorder(Recorder):
    """Records nothing: the main process records for all."""

    def __init__(self) -> None:
        """Need neither a registry nor a folder."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Forget them."""

    def event(self, *_: Any, **__: Any) -> None:
        """Forget it."""

    def evaluation(self, result: EvaluationResult) -> str:
        """Forget it."""
        return ""

    def artifact(self, kind: str, path: Any, known: tuple[int, str] | None = None) -> None:
        """Forget it."""

    def begin_segment(self, step: int) -> None:
        """Do nothing."""

    def finish(
        self, status: RunStatus | str, exit_reason: str | None = None, traceback: str | None = None
    ) -> None:
        """Do nothing."""

    def flush(self, timeout: float = 0.0) -> bool:
        """Nothing waits to be written."""
        return True


class FollowerStage(Stage):
    """The stage of a process that records nothing."""

    def event(self, severity: Severity, kind: str, message: str, step: int | None = None) -> None:
        """Leave it to the main process."""

    def keep_choice(self, config: RunConfig) -> None:
        """Follow the choice; the main process stores it."""
        self.config = config


def no_registry(folder: Path) -> Registry:
    """A registry that reads as empty, from a file that does not exist and is never made."""
    return Registry(Database(f"sqlite:///{folder / 'nothing.db'}"))
