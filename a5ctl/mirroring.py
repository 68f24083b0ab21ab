"""`--mirror`: a run that is shown here is also sent elsewhere, by reading along in its journal."""

import json
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from rich.console import Console

from a5ctl.live import RunDisplay
from core.config.schema import RunConfig
from core.errors import UserError
from core.interchange.mirror_backends import MirrorName, check_mirror, mirror_maker
from core.interchange.mirror_feed import MirrorFeed
from core.registry.afterwards import append_held
from core.registry.entries import EventEntry
from core.registry.journal import JOURNAL_NAME
from core.registry.live_runs import RECORDER_LOCK
from core.registry.lock import FileLock
from core.registry.store import open_registry
from core.secrets import mask_text
from core.workspace import Workspace
from trainers.observer import Severity

_LAST_WORDS_S = 20.0


@dataclass(frozen=True, slots=True)
class MirrorPlan:
    """Where runs of this command are sent; text only, because processes hand it on.

    Attributes:
        names: Of `MirrorName`.
        home: The workspace.
        registry: URL of the registry.
    """

    names: tuple[str, ...]
    home: str
    registry: str

    def to_text(self) -> str:
        """For a command line, which others can read: not with what the environment holds."""
        known = self.registry == os.environ.get("A5CTL_REGISTRY")
        return json.dumps({**asdict(self), "registry": None if known else self.registry})

    @staticmethod
    def from_text(text: str) -> "MirrorPlan":
        """The inverse of `to_text`."""
        found = json.loads(text)
        registry = found["registry"] or os.environ["A5CTL_REGISTRY"]
        return MirrorPlan(tuple(found["names"]), found["home"], registry)


def plan_mirrors(
    names: Sequence[str], workspace: Workspace, registry: str | None
) -> MirrorPlan | None:
    """The plan for `--mirror`; None where it was not given.

    Raises:
        UserError: a mirror is unknown, or its package is not installed.
    """
    chosen = tuple(dict.fromkeys(check_mirror(name).value for name in names))
    url = workspace.registry_url(registry)
    return MirrorPlan(chosen, str(workspace.root), url) if chosen else None


def display_for(console: Console, plan: MirrorPlan | None, *, quiet: bool) -> RunDisplay:
    """What shows a run, and sends it elsewhere where that is wanted."""
    if plan is None:
        return RunDisplay(console, quiet=quiet)
    return MirroredDisplay(console, plan, quiet=quiet)


class MirroredDisplay(RunDisplay):
    """Shows a run and starts its mirrors when it begins; use it as a context manager."""

    def __init__(self, console: Console, plan: MirrorPlan, *, quiet: bool = False) -> None:
        super().__init__(console, quiet=quiet)
        self._plan = plan
        self._workspace = Workspace(Path(plan.home))
        self._folder = Path()
        self._feeds: list[MirrorFeed] = []
        self._troubles: list[EventEntry] = []

    def started(self, run_id: str, config: RunConfig) -> None:
        """Begin to read along in the run's journal."""
        super().started(run_id, config)
        self._folder = self._workspace.run_folder(run_id)
        for name in self._plan.names:
            make = mirror_maker(MirrorName(name), self._workspace.root / "mirrors")
            self._feeds.append(MirrorFeed(name, make, self._folder / JOURNAL_NAME, self._trouble))
            self._feeds[-1].start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(kind, value, traceback)
        deadline = time.monotonic() + _LAST_WORDS_S
        for feed in self._feeds:
            feed.finish()
        for feed in self._feeds:
            feed.stop(max(0.0, deadline - time.monotonic()))
        self._record_troubles()

    def _trouble(self, text: str) -> None:
        """Say it now; it is recorded when the run's recorder has let go of the journal."""
        event = EventEntry(
            uuid=uuid.uuid4().hex,
            time=time.time(),
            step=None,
            severity=Severity.WARNING.value,
            kind="mirror_stopped",
            message=mask_text(text),
        )
        self._troubles.append(event)
        self.event(Severity.WARNING, text, None)

    def _record_troubles(self) -> None:
        if not self._troubles or not (self._folder / JOURNAL_NAME).exists():
            return
        try:
            with FileLock(self._folder / RECORDER_LOCK, timeout=5):
                append_held(open_registry(self._plan.registry), self._folder, self._troubles)
        except (OSError, TimeoutError, UserError) as error:
            text = f"the trouble with the mirror could not be recorded: {error}"
            self.event(Severity.WARNING, text, None)
