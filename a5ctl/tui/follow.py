"""Follows a registry: what moved since the last look, and nothing else, is read again."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from a5ctl.tables.runs import RunLine, run_lines
from core.errors import UserError
from core.registry.courses import Course, accuracy_courses
from core.registry.live_runs import look_for_sign
from core.registry.liveness import display_status
from core.registry.records import RunRecord
from core.registry.store import Registry
from core.registry.watch import RegistryWatch, Sign, run_signs
from core.workspace import Workspace

_LIVENESS_S = 5.0


@dataclass(frozen=True, slots=True)
class Change:
    """What moved.

    Attributes:
        lines: Runs that are new or other than before.
        courses: Their accuracies over the steps.
        gone: Runs that were deleted.
        statuses: Runs that fell silent or came back, with their status; nothing was written.
        order: Every run, the newest first, where runs came or went.
    """

    lines: Sequence[RunLine] = ()
    courses: Mapping[str, Course] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    statuses: Mapping[str, str] = field(default_factory=dict)
    order: tuple[str, ...] | None = None

    @property
    def touched(self) -> frozenset[str]:
        """Every run that the change speaks of."""
        return frozenset((*(line.run.uuid for line in self.lines), *self.gone, *self.statuses))


class Follower:
    """Looks at a registry again and again; to be used by one thread.

    Args:
        workspace: Where the run folders are.
        registry: What to follow.
    """

    def __init__(self, workspace: Workspace, registry: Registry) -> None:
        self._workspace = workspace
        self._registry = registry
        self._watch = RegistryWatch(registry.database)
        self._signs: dict[str, Sign] = {}
        self._unsettled: dict[str, tuple[RunRecord, str]] = {}
        self._looked_for_life = 0.0
        self._merged = False

    def look(self) -> Change | None:
        """What moved since the last look; everything at the first one, None where nothing did.

        Raises:
            UserError: the registry cannot be read now.
        """
        statuses = self._statuses()
        if not self._watch.changed():
            return Change(statuses=statuses) if statuses else None
        signs = run_signs(self._registry.database)
        moved = [uuid for uuid, sign in signs.items() if self._signs.get(uuid) != sign]
        gone = frozenset(self._signs.keys() - signs.keys())
        ordered = gone or any(uuid not in self._signs for uuid in moved)
        lines = run_lines(self._registry, self._registry.runs_by_uuid(moved))
        courses = accuracy_courses(self._registry.database, moved)
        self._signs = signs
        for line in lines:
            self._unsettled.pop(line.run.uuid, None)
            if not line.run.status.settled:
                self._unsettled[line.run.uuid] = (line.run, line.status)
        for uuid in gone:
            self._unsettled.pop(uuid, None)
        return Change(lines, courses, gone, statuses, tuple(signs) if ordered else None)

    def merge_left_behind(self) -> None:
        """Bring in what dead runs left in their journals, once."""
        if not self._merged:
            self._merged = True
            with contextlib.suppress(UserError):  # the next command tries again
                self._registry.merge_left_behind(self._workspace)

    def close(self) -> None:
        """Let go of the registry."""
        self._watch.close()

    def _statuses(self) -> dict[str, str]:
        """Runs whose status is another one because time passed or their process ended."""
        if time.monotonic() - self._looked_for_life < _LIVENESS_S:
            return {}
        self._looked_for_life = time.monotonic()
        found = {}
        for uuid, (run, before) in self._unsettled.items():
            look_for_sign(run, self._workspace.run_folder(run.id))
            status = display_status(run)
            if status != before:
                found[uuid] = status
                self._unsettled[uuid] = (run, status)
        return found
