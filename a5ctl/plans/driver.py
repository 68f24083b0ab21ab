"""Has the cells of a plan carried out: what is missing, in order, as many at a time as fit."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from a5ctl.plans.executor import Ended, Executor
from core.errors import UserError
from core.plans.cells import Cell
from core.plans.codes import CellExit
from core.plans.plan import Plan
from core.plans.runs import CellRun, CellState, cell_runs
from core.registry.processes import host_name
from core.registry.store import Registry

_POLL_S = 1.0
_HELD_RETRY_S = 5.0
_MOST_TRIES = 3  # of a cell whose process is killed again and again


class Watcher(Protocol):
    """Whoever shows how the plan goes."""

    def begins(self, cell: Cell) -> None:
        """An attempt was submitted."""

    def ended(self, cell: Cell, ended: Ended, going_on: bool) -> None:
        """An attempt is over; the cell may be tried again by itself."""

    def stopping(self, why: str) -> None:
        """No more cells are begun, and those under way are asked to stop."""

    def note(self, text: str) -> None:
        """Something that a person should know."""

    def standing(self, found: Mapping[str, CellRun], under_way: set[str]) -> None:
        """Where the cells stand now; called about once a second."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a plan is carried out.

    Attributes:
        resume: Cells that failed are tried again, too.
        fail_fast: The first failure stops all.
        take_over: Cells that went silent on other machines are taken over.
    """

    resume: bool = False
    fail_fast: bool = False
    take_over: bool = False


Source = Callable[[], Iterable[Cell]]
"""The cells to carry out as far as they are known by now; asked again and again."""


@dataclass
class Driver:
    """Carries out cells of one plan through an executor.

    Attributes:
        left: Cells that were given up here, with the reason.
    """

    plan: Plan
    registry: Registry
    executor: Executor
    watcher: Watcher
    manner: Manner = field(default_factory=Manner)
    left: dict[str, str] = field(default_factory=dict)
    _under_way: dict[str, Cell] = field(default_factory=dict)
    _tries: dict[str, int] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)
    _reached: set[str] = field(default_factory=set)
    _signum: int | None = None
    _told: int = 0
    _asked: int = 0
    _given_up: bool = False

    @property
    def stopped(self) -> bool:
        """Somebody asked to stop, or a failure did."""
        return self._signum is not None or self._given_up

    @property
    def signum(self) -> int | None:
        """The signal that asked to stop."""
        return self._signum

    def carry_out(self, source: Source, until: int | None = None) -> None:
        """Have every cell finished, or up to one update; returns when nothing more can be done.

        Args:
            source: The cells; those that they start from are carried out, too.
            until: Only up to this update.

        Raises:
            UserError: the executor cannot start a cell.
        """
        self._reached = set()
        with self._signals():
            self._under_way |= self.executor.adopt()
            while True:
                cells = self._with_starts(source())
                found = cell_runs(self.registry, self.plan, cells.values())
                busy = self._busy(found)
                self.executor.note_busy(busy)
                self.watcher.standing(found, set(self._under_way))
                self._submit(found, until)
                waiting = [k for k in found if self._waits(found[k])]
                if not self._under_way and (self.stopped or not (waiting or busy)):
                    return
                self._hear(self.executor.poll(_POLL_S))
                if self._signum is not None and self.executor.detach():
                    return
                self._pass_signal_on()

    def reached(self, found: CellRun, until: int | None) -> bool:
        """A cell is done, or was evaluated at this update."""
        if found.state.done or found.cell.id in self._reached:
            return True
        if until is None or found.run is None or found.state is CellState.RUNNING:
            return False
        return any(e.step == until for e in self.registry.evaluations([found.run.uuid]))

    def _with_starts(self, cells: Iterable[Cell]) -> dict[str, Cell]:
        """The cells behind those that they start from."""
        every: dict[str, Cell] = {}
        chosen = list(cells)
        for cell in chosen:
            if cell.start is not None:
                every[cell.start] = self.plan.by_id[cell.start]
        return every | {cell.id: cell for cell in chosen}

    def _busy(self, found: Mapping[str, CellRun]) -> set[str]:
        """Cells that others are at work at, so that there is something to wait for."""
        return {
            key
            for key, each in found.items()
            if each.state is CellState.RUNNING
            and key not in self._under_way
            and (each.run is None or each.run.host == host_name())
        }

    def _submit(self, found: Mapping[str, CellRun], until: int | None) -> None:
        starts = {each.cell.start for each in found.values()}
        for key, each in found.items():
            if self.stopped or self.executor.room < 1:
                return
            goal = None if key in starts else until
            if not self._open(each):
                continue
            if self.reached(each, goal):
                self._reached.add(key)
            elif self._start_is_there(each, found):
                self.executor.submit(each.cell, goal)
                self._under_way[key] = each.cell
                self.watcher.begins(each.cell)

    def _start_is_there(self, each: CellRun, found: Mapping[str, CellRun]) -> bool:
        start = each.cell.start
        if start is None or found[start].state is CellState.FINISHED:
            return True
        if start in self.left:
            self._leave(each.cell.id, f"cell {start}, which it starts from, did not finish")
        return False

    def _open(self, found: CellRun) -> bool:
        """An attempt could be made now."""
        key, state = found.cell.id, found.state
        if key in self._under_way or key in self.left or key in self._reached or state.done:
            return False
        if self._not_before.get(key, 0.0) > time.monotonic() or state is CellState.RUNNING:
            return False
        if state is CellState.STALE and not self.manner.take_over:
            where = found.run.host if found.run else "another machine"
            return self._leave(key, f"its run on {where} is silent; --take-over goes on with it")
        if state is CellState.FAILED and not self.manner.resume and key not in self._tries:
            reason = found.run.exit_reason if found.run else None
            return self._leave(key, f"it failed before ({reason}); --resume tries it again")
        return True

    def _waits(self, found: CellRun) -> bool:
        """The cell is still to be carried out, though not at this moment."""
        key = found.cell.id
        undone = not found.state.done and key not in self._reached
        elsewhere = found.state is CellState.RUNNING and key not in self._under_way
        return undone and key not in self.left and not elsewhere

    def _leave(self, key: str, reason: str) -> bool:
        self.left[key] = reason
        return False

    def _hear(self, ended: Sequence[Ended]) -> None:
        for end in ended:
            cell = self._under_way.pop(end.cell_id)
            self._tries[cell.id] = self._tries.get(cell.id, 0) + 1
            going_on = self._judge(cell, end)
            self.watcher.ended(cell, end, going_on)
            if not going_on and end.code in (CellExit.FAILED, CellExit.BAD_INPUT):
                self._fail_fast(cell)

    def _judge(self, cell: Cell, end: Ended) -> bool:
        """Whether the cell comes again by itself."""
        if end.code == CellExit.FINISHED:
            self._reached.add(cell.id)
            return False
        if self.stopped:
            return False
        if end.code in (CellExit.HELD, CellExit.NO_START):
            self._tries[cell.id] -= 1
            self._not_before[cell.id] = time.monotonic() + _HELD_RETRY_S
            return True
        asked = end.code in (-signal.SIGINT, -signal.SIGTERM)
        if end.code < 0 and not asked and self._tries[cell.id] < _MOST_TRIES:
            return True
        self.left[cell.id] = end.reason or f"it ended with code {end.code}"
        return False

    def _fail_fast(self, cell: Cell) -> None:
        if self.manner.fail_fast and not self.stopped:
            self._given_up = True
            self.watcher.stopping(f"cell {cell.id} failed")
            self.executor.stop(signal.SIGINT)

    def _pass_signal_on(self) -> None:
        if self._signum is not None and self._told < self._asked:
            self._told = self._asked
            self.watcher.stopping(signal.Signals(self._signum).name)
            self.executor.stop(self._signum)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM are passed on, once each time, and waited for."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, signum: int, frame: Any) -> None:
        self._signum = signum
        self._asked += 1


def end_code(found: Mapping[str, CellRun], driver: Driver) -> int:
    """Exit code of a plan: 0 all done, 75 others have the rest, 1 something did not finish."""
    if driver.signum is not None:
        return 128 + driver.signum
    open_ = [each for each in found.values() if not each.state.done]
    if not open_:
        return 0
    return int(CellExit.HELD) if all(each.state.held for each in open_) else 1


def check_goals(plan: Plan) -> None:
    """Refuse what a driver cannot carry out.

    Raises:
        UserError: cells of several processes cannot be stopped at a step.
    """
    if plan.form.halving is None:
        return
    for cell in plan.cells:
        if cell.config.train.gpus > 1:
            raise UserError(
                f"cell {cell.title!r} trains in {cell.config.train.gpus} processes, and halving "
                "stops runs of one process only; set train.gpus = 1, or leave out [halving]"
            )
