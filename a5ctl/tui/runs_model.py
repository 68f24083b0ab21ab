"""The list of runs as a screen shows it: filtered, sorted, folded by group, and kept up to date."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from a5ctl.format import sparkline
from a5ctl.tables.runs import RunLine
from a5ctl.tui.follow import Change
from core.registry.courses import Course
from core.registry.records import RunRecord

SPARK_CELLS = 10
_FEW = 3
"""So many evaluations have a course of their own; of fewer the loss says more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One run.

    Attributes:
        line: What `a5ctl ls` says about it.
        course: Its accuracies over the steps.
        losses: Its loss in a few points, once somebody looked at it; with the step of the last.
    """

    line: RunLine
    course: Course
    losses: tuple[float, ...] = ()
    losses_step: int = -1

    @property
    def run(self) -> RunRecord:
        """The run."""
        return self.line.run

    @property
    def wants_losses(self) -> bool:
        """Its accuracies make no picture, and its loss as it is now was not read yet."""
        step = self.line.step if self.line.step is not None else -1
        return len(self.course) < _FEW and self.run.kind != "eval" and step > self.losses_step

    @property
    def spark(self) -> tuple[str, str]:
        """The picture, and what it is of: `accuracy`, `loss` or nothing."""
        if len(self.course) >= _FEW:
            return sparkline([accuracy for _, accuracy in self.course], SPARK_CELLS), "accuracy"
        return sparkline(list(self.losses), SPARK_CELLS), "loss" if self.losses else ""

    def says(self, words: Sequence[str]) -> bool:
        """Whether every word is in what the list could show."""
        run = self.run
        fields = (run.id, run.kind, run.name, run.group, run.model, run.data, run.note)
        text = " ".join((*filter(None, fields), self.line.status, *run.tags)).casefold()
        return all(word in text for word in words)


@dataclass(frozen=True, slots=True)
class Folded:
    """A group of runs as one row."""

    group: str
    entries: tuple[Entry, ...]


Item = Entry | Folded


def _accuracy(entry: Entry) -> float | None:
    return entry.line.headline.accuracy if entry.line.headline else None


def _took(entry: Entry) -> float | None:
    run = entry.run
    return None if run.started is None else (run.ended or run.heartbeat or 0.0) - run.started


SORT_KEYS: Mapping[str, Callable[[Entry], Any]] = {
    "run": lambda entry: entry.run.id,
    "kind": lambda entry: entry.run.kind,
    "status": lambda entry: entry.line.status,
    "accuracy": _accuracy,
    "size": lambda entry: entry.run.size,
    "seed": lambda entry: entry.run.seed,
    "step": lambda entry: entry.line.step,
    "model": lambda entry: entry.run.model,
    "data": lambda entry: entry.run.data,
    "age": lambda entry: -entry.run.created,
    "took": _took,
    "group": lambda entry: entry.run.group,
    "name": lambda entry: entry.run.name,
}
LARGEST_FIRST = frozenset({"accuracy", "size", "step", "took"})
"""Columns whose first press shows the largest on top."""


class RunsModel:
    """Every run, and which of them are shown in what order."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.items: list[Item] = []
        self.marked: dict[str, None] = {}
        self.words = ""
        self.allowed: frozenset[str] | None = None
        self.archived = False
        self.folding = False
        self.open_groups: set[str] = set()
        self.sort: tuple[str, bool] | None = None
        self._order: tuple[str, ...] = ()

    def apply(self, change: Change) -> None:
        """Take in what moved; `arrange` puts it into its place."""
        for line in change.lines:
            uuid, before = line.run.uuid, self.entries.get(line.run.uuid)
            course = change.courses.get(uuid, [])
            self.entries[uuid] = (
                Entry(line, course) if before is None else replace(before, line=line, course=course)
            )
        for uuid, status in change.statuses.items():
            if entry := self.entries.get(uuid):
                self.entries[uuid] = replace(entry, line=replace(entry.line, status=status))
        for uuid in change.gone:
            self.entries.pop(uuid, None)
            self.marked.pop(uuid, None)
        if change.order is not None:
            self._order = change.order

    def note_losses(self, losses: Mapping[str, Sequence[float]]) -> None:
        """Take in pictures that were asked for."""
        for uuid, values in losses.items():
            if entry := self.entries.get(uuid):
                step = entry.line.step if entry.line.step is not None else -1
                self.entries[uuid] = replace(entry, losses=tuple(values), losses_step=step)

    def arrange(self) -> None:
        """Choose and sort what is shown."""
        words = self.words.casefold().split()
        shown = [
            entry
            for uuid in self._order
            if (entry := self.entries.get(uuid)) is not None
            and (self.archived or not entry.run.archived)
            and (self.allowed is None or uuid in self.allowed)
            and (not words or entry.says(words))
        ]
        if self.sort is not None:
            shown = _sorted(shown, *self.sort)
        self.items = self._fold(shown) if self.folding else list(shown)

    def toggle_mark(self, uuid: str) -> None:
        """Mark a run, or take the mark off."""
        if uuid in self.marked:
            del self.marked[uuid]
        else:
            self.marked[uuid] = None

    @property
    def counts(self) -> dict[str, int]:
        """Runs by status, archived ones left out unless they are shown."""
        found: dict[str, int] = {}
        for entry in self.entries.values():
            if self.archived or not entry.run.archived:
                found[entry.line.status] = found.get(entry.line.status, 0) + 1
        return found

    def _fold(self, entries: Sequence[Entry]) -> list[Item]:
        groups: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.run.group is not None:
                groups.setdefault(entry.run.group, []).append(entry)
        items: list[Item] = []
        seen: set[str] = set()
        for entry in entries:
            group = entry.run.group
            if group is None:
                items.append(entry)
            elif group not in seen:
                seen.add(group)
                items.append(Folded(group, tuple(groups[group])))
                items += groups[group] if group in self.open_groups else []
        return items


def _sorted(entries: Sequence[Entry], column: str, largest_first: bool) -> list[Entry]:
    """What a run does not have comes last, whichever way the rest is sorted."""
    key = SORT_KEYS[column]
    known = [entry for entry in entries if key(entry) is not None]
    return [
        *sorted(known, key=key, reverse=largest_first),
        *(entry for entry in entries if key(entry) is None),
    ]
