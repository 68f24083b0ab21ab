"""Cells as tasks of Ray: one task each, with the GPUs and CPUs it needs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from a5ctl.cluster import ray_task
from a5ctl.cluster.harvest import Harvest
from a5ctl.cluster.needs import needs_of
from a5ctl.cluster.ray_cluster import RayCluster
from a5ctl.plans.executor import CellCommand, Ended
from a5ctl.plans.local import last_line
from core.errors import first_line
from core.plans.cells import Cell
from core.plans.codes import CellExit
from core.plans.folder import PlanFolder

_GRACE_S = 120.0
_HELD_PAUSE_S = 5.0
_MOST_HELD_S = 180.0
_MOST_LOST = 10
_LOSSES = {
    "NodeDiedError": "its node was lost",
    "WorkerCrashedError": "its worker was killed",
    "LocalRayletDiedError": "its node was lost",
    "OutOfMemoryError": "Ray ended it, because its node was short of memory",
}


@dataclass
class _Attempt:
    cell: Cell
    until: int | None
    lost: int = 0
    reference: Any = None
    not_before: float = 0.0
    held_since: float | None = None


@dataclass
class RayExecutor:
    """Runs cells on the nodes of Ray; what a lost node was at work at goes on elsewhere.

    Attributes:
        cluster: Where.
        command: How a cell is started.
        folder: Where logs go.
        jobs: Cells at a time; as many as have room when None.
        tell: Gets a sentence about what happens.
        harvest: Brings what nodes recorded into the registry; None where they record there.
        environment: Variables of the cells.
        take_over: Cells take runs over that went silent on other machines.
    """

    cluster: RayCluster
    command: CellCommand
    folder: PlanFolder
    jobs: int | None
    tell: Callable[[str], None]
    harvest: Harvest | None = None
    environment: dict[str, str] = field(default_factory=dict)
    take_over: bool = False
    _attempts: dict[str, _Attempt] = field(default_factory=dict)
    _stops: int = 0
    _remote: Any = None
    _warned: set[str] = field(default_factory=set)

    @property
    def room(self) -> int:
        """Ray has a queue of its own, unless somebody wants fewer at a time."""
        return 1_000_000 if self.jobs is None else max(0, self.jobs - len(self._attempts))

    def note_busy(self, cell_ids: set[str]) -> None:
        """Cells of others take no room here."""

    def adopt(self) -> dict[str, Cell]:
        """Tasks end with the process that submitted them."""
        return {}

    def detach(self) -> bool:
        """Ctrl-C is meant for the cells."""
        return False

    def submit(self, cell: Cell, until: int | None = None) -> None:
        """Submit a task.

        Raises:
            UserError: no node will ever have what it needs.
        """
        warning = self.cluster.check_room(needs_of(cell.config))
        if warning is not None and warning not in self._warned:
            self._warned.add(warning)
            self.tell(warning)
        self._attempts[cell.id] = _Attempt(cell, until)
        self._start(self._attempts[cell.id])

    def poll(self, seconds: float) -> list[Ended]:
        """Tasks that are over; see `Executor.poll`."""
        now = time.monotonic()
        pausing = [a for a in self._attempts.values() if a.reference is None]
        if self._stops and pausing:
            return [self._end(a, CellExit.TERMINATED, "it was waiting") for a in pausing]
        for attempt in pausing:
            if attempt.not_before <= now:
                self._start(attempt)
        under_way = {a.reference: a for a in self._attempts.values() if a.reference is not None}
        ready: list[Any] = []
        if under_way:
            ready, _ = self.cluster.ray.wait(list(under_way), num_returns=1, timeout=seconds)
        else:
            time.sleep(seconds)
        ended = [end for reference in ready if (end := self._over(under_way[reference]))]
        if self.harvest is not None:
            self.harvest.gather(at_once=bool(ended))
        return ended

    def stop(self, signum: int) -> None:
        """Let every cell save itself; the second time, end them at once."""
        self._stops += 1
        for attempt in self._attempts.values():
            if attempt.reference is not None:
                self.cluster.ray.cancel(attempt.reference, force=self._stops > 1)

    def close(self) -> None:
        """Leave Ray; cells still under way save themselves."""
        self._attempts.clear()
        self.cluster.close()

    def _start(self, attempt: _Attempt) -> None:
        if self._remote is None:
            self.cluster.ray.cloudpickle.register_pickle_by_value(ray_task)
            # tries are counted here, where somebody can be told of them
            self._remote = self.cluster.ray.remote(max_retries=0)(ray_task.carry_out)
        cell = attempt.cell
        needs = needs_of(cell.config)
        take_over = self.take_over or attempt.lost > 0
        words = [*self.command.starter[1:]]
        words += self.command.arguments(cell.id, attempt.until, take_over=take_over)
        words += [] if self.harvest is None else ["--on-node"]
        errand = {
            "directory": str(Path.cwd()),
            "log": str(self.folder.log(cell.id)),
            "environment": {"PYTHONUNBUFFERED": "1", **self.environment},
            "grace_s": _GRACE_S,
        }
        task = self._remote.options(num_cpus=needs.cpus, num_gpus=needs.gpus, name=cell.title)
        attempt.reference = task.remote(words, ray_task.WARDEN, errand)

    def _over(self, attempt: _Attempt) -> Ended | None:
        """How a task ended; None where the cell goes on in another one."""
        errors = self.cluster.ray.exceptions
        reference, attempt.reference = attempt.reference, None
        try:
            code = int(self.cluster.ray.get(reference))
        except errors.TaskCancelledError:
            return self._end(attempt, CellExit.TERMINATED, "it was cancelled")
        except errors.RayTaskError as error:
            return self._end(attempt, CellExit.FAILED, first_line(error.cause or error))
        except errors.RayError as error:
            return self._lost(attempt, error)
        said = last_line(self.folder.log(attempt.cell.id))
        if code == CellExit.HELD and attempt.lost and not self._stops:
            return self._held(attempt, said)
        if code > 128 and code not in (CellExit.INTERRUPTED, CellExit.TERMINATED):
            code = 128 - code
        if code == CellExit.TERMINATED and not self._stops:
            return self._lost(attempt, None)
        return self._end(attempt, code, said)

    def _lost(self, attempt: _Attempt, error: Exception | None) -> Ended | None:
        """The node, or the worker on it, is gone."""
        why = "it was stopped on its node" if error is None else _why(error)
        attempt.lost += 1
        if self._stops:
            return self._end(attempt, CellExit.TERMINATED, why)
        if attempt.lost > _MOST_LOST:
            text = f"{why}; {attempt.lost} attempts were cut off, which are enough"
            return self._end(attempt, CellExit.FAILED, text)
        self.tell(f"cell {attempt.cell.id}: {why}; another task goes on with it")
        attempt.held_since = None
        return None

    def _held(self, attempt: _Attempt, said: str) -> Ended | None:
        """Its run still counts as alive: it saves itself, or was heard of a moment ago."""
        now = time.monotonic()
        attempt.held_since = attempt.held_since or now
        if now - attempt.held_since > _MOST_HELD_S:
            return self._end(attempt, CellExit.HELD, said)
        attempt.not_before = now + _HELD_PAUSE_S
        return None

    def _end(self, attempt: _Attempt, code: int, reason: str) -> Ended:
        del self._attempts[attempt.cell.id]
        log = self.folder.log(attempt.cell.id)
        return Ended(attempt.cell.id, code, reason, log if log.exists() else None)


def _why(error: Exception) -> str:
    """What happened, in fewer words than Ray has for it."""
    name = type(error).__name__
    if (known := _LOSSES.get(name)) is not None:
        return known
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{name}: {lines[0][:200]}" if lines else name
