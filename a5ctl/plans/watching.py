"""What a person sees while a plan is carried out: every cell, how far it is, what is left."""

import signal
import time
from collections.abc import Mapping

from rich.console import Console, Group, RenderableType

from a5ctl.console import plain
from a5ctl.format import duration
from a5ctl.live_area import LiveArea
from a5ctl.plans.executor import Ended
from a5ctl.tables.plan_cells import CellLine, cell_lines, cells_table, state_counts
from core.plans.cells import Cell
from core.plans.codes import CellExit
from core.plans.runs import CellRun, CellState
from core.registry.store import Registry

_LOG_EVERY_S = 30.0
_LOOK_EVERY_S = 2.0
_AROUND_TABLE = 4
# as the program says it, and as a process ends that a signal meets before or behind its work
_STOPS = (CellExit.INTERRUPTED, CellExit.TERMINATED, -signal.SIGINT, -signal.SIGTERM)
_WAITING = (CellState.MISSING, CellState.INTERRUPTED)
_HINT = "Ctrl-C stops all cells at their next step; the same command goes on with them"
_HINT_ELSEWHERE = "Ctrl-C stops watching; the jobs go on"


class PlanDisplay(LiveArea):
    """A live table on terminals, a line for each change elsewhere; use it as a context manager.

    Args:
        console: Where to.
        registry: Where the figures are.
        quiet: Show nothing.
        jobs: Cells at a time, for the time that is left; as many as run now when None.
    """

    def __init__(
        self, console: Console, registry: Registry, *, quiet: bool, jobs: int | None
    ) -> None:
        super().__init__(console, quiet=quiet)
        self._registry = registry
        self._jobs = jobs
        self._looked = -_LOOK_EVERY_S
        self._logged = time.monotonic()
        self._stopping = self._advised = ""
        self.stops_cells = True

    def begins(self, cell: Cell) -> None:
        """Say so where no table shows it."""
        if self._live is None:
            self._print(plain(f"cell {cell.id} begins: {cell.title}", "dim"))

    def ended(self, cell: Cell, ended: Ended, going_on: bool) -> None:
        """Say how; a problem with its reason and where to read more."""
        if ended.code == CellExit.FINISHED:
            if self._live is None:
                self._print(plain(f"cell {cell.id} done: {cell.title}", "green"))
            return
        if ended.code in _STOPS:
            self._print(plain(f"cell {cell.id} stopped at its step, and can go on", "yellow"))
            return
        how = f"signal {-ended.code}" if ended.code < 0 else f"code {ended.code}"
        text = plain(f"cell {cell.id} ended with {how}", "yellow" if going_on else "bold red")
        text.append_text(plain(f": {ended.reason}" if ended.reason else ""))
        text.append("; it goes on" if going_on else "")
        if ended.log is not None and not going_on:
            text.append_text(plain(f" (all of it: {ended.log})", "dim"))
        self._print(text)

    def stopping(self, why: str) -> None:
        """Say that no more cells are begun."""
        self._stopping = f"{why}: waiting for the cells under way to stop; once more stops them now"
        self._print(plain(self._stopping, "yellow"))

    def note(self, text: str) -> None:
        """Something that a person should know."""
        self._print(plain(text, "dim"))

    def standing(self, found: Mapping[str, CellRun], under_way: set[str]) -> None:
        """Draw the table again, or say every half minute how far things are."""
        now = time.monotonic()
        if self._quiet or now - self._looked < _LOOK_EVERY_S:
            return
        self._looked = now
        if self._live is not None:
            lines = cell_lines(self._registry, found.values(), under_way)
            self._shown = Group(self._table(lines), plain(self._summary(lines), "dim"))
        elif now - self._logged >= _LOG_EVERY_S:
            self._logged = now
            lines = cell_lines(self._registry, found.values(), under_way)
            self._print(plain(self._standing_text(lines), "dim"))

    def _table(self, lines: list[CellLine]) -> RenderableType:
        """As many cells as the screen holds: those at work, then what comes, then what is done."""
        room = max(3, self._console.height - _AROUND_TABLE)
        if len(lines) <= room:
            return cells_table(lines, self._console)
        ranked = sorted(lines, key=lambda line: _rank(line.found.state))
        kept = {id(line) for line in ranked[: room - 1]}
        more = plain(f"{len(lines) - room + 1} more cells", "dim")
        table = cells_table([line for line in lines if id(line) in kept], self._console)
        return Group(table, more)

    def _standing_text(self, lines: list[CellLine]) -> str:
        """For a log, where the advice of the time before can still be read."""
        counts, advice = self._summary(lines).split("\n")
        said, self._advised = self._advised, advice
        return counts if said == advice else f"{counts}\n{advice}"

    def _summary(self, lines: list[CellLine]) -> str:
        counts = state_counts(line.found for line in lines)
        left = _seconds_left(lines, self._jobs)
        hint = _HINT if self.stops_cells else _HINT_ELSEWHERE
        text = counts if left is None else f"{counts}; about {duration(left)} left"
        return f"{text}\n{self._stopping or hint}"

    def _print(self, what: RenderableType) -> None:
        if not self._quiet:
            self._console.print(what, soft_wrap=True)


def _rank(state: CellState) -> int:
    return {CellState.RUNNING: 0, CellState.FAILED: 1, CellState.FINISHED: 4}.get(state, 2)


def _seconds_left(lines: list[CellLine], jobs: int | None) -> float | None:
    """By how long ended cells took; None before the first has ended and behind the last."""
    ended = [line.seconds for line in lines if line.found.state is CellState.FINISHED]
    known = [seconds for seconds in ended if seconds is not None]
    begun = [line for line in lines if line.found.state is CellState.RUNNING]
    waiting = sum(line.found.state in _WAITING for line in lines)
    if not known or not (begun or waiting):
        return None
    usual = sum(known) / len(known)
    seconds = sum(usual if line.left is None else line.left for line in begun) + usual * waiting
    return seconds / (jobs or max(1, len(begun)))
