"""The rows of the list of runs: which cells a run or a folded group has."""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from a5ctl.format import age, duration, interval, percent, sparkline, tail
from a5ctl.tables.runs import run_seconds
from a5ctl.tui.columns import Column
from a5ctl.tui.looks import (
    DIM,
    LIVE,
    PLAIN,
    SPARK,
    STATUS_SIGNS,
    STRONG,
    Cell,
    one_line,
    status_cell,
)
from a5ctl.tui.runs_model import SPARK_CELLS, Entry, Folded, Item, RunsModel

_LONGEST_ID, _LONGEST_NAME = 34, 20


def run_columns(model: RunsModel) -> tuple[Column, ...]:
    """The columns, as wide as what they hold."""
    runs = [entry.run for entry in model.entries.values()]
    ids = [len(run.id) + (2 if model.folding else 0) for run in runs]
    groups = [len(run.group) for run in runs if run.group]
    names = [len(run.name) for run in runs if run.name]
    return (
        Column("run", "run", min(_LONGEST_ID, max(ids, default=12)), 99, elastic=True),
        Column("status", "status", 13, 90),
        Column("accuracy", "accuracy", 9, 95, right=True),
        Column("interval", "95%", 12, 40),
        Column("course", "course", SPARK_CELLS, 85),
        Column("step", "step", 7, 70, right=True),
        Column("size", "size", 6, 60, right=True),
        Column("seed", "seed", 5, 65, right=True),
        Column("age", "age", 4, 80, right=True),
        Column("took", "took", 7, 50, right=True),
        Column("kind", "kind", 4, 20),
        Column("model", "model", 12, 45, elastic=True),
        Column("data", "data", 8, 42),
        Column("group", "group", _room(groups), 55 if groups else 1, elastic=True),
        Column("name", "name", _room(names), 75 if names else 1, elastic=True),
        Column("tags", "tags", 10, 57 if any(run.tags_json != "[]" for run in runs) else 1),
    )


class RunRows:
    """Rows for a table, made when they are drawn."""

    def __init__(self, model: RunsModel) -> None:
        self._model = model

    def __len__(self) -> int:
        return len(self._model.items)

    def cells(self, index: int) -> Sequence[Cell]:
        """One row."""
        item = self._model.items[index]
        return self._folded(item) if isinstance(item, Folded) else self._entry(item)

    def marked(self, index: int) -> bool:
        """Whether the run is marked, or one of the folded ones."""
        marked, item = self._model.marked, self._model.items[index]
        if isinstance(item, Entry):
            return item.run.uuid in marked
        return bool(marked) and any(entry.run.uuid in marked for entry in item.entries)

    def _entry(self, entry: Entry) -> Sequence[Cell]:
        run, line, now = entry.run, entry.line, time.time()
        headline = line.headline
        picture, about = entry.spark
        indent = "  " if self._model.folding and run.group is not None else ""
        return (
            (indent + one_line(run.id), DIM if run.archived else STRONG),
            status_cell(line.status),
            (percent(headline.accuracy) if headline else "-", STRONG if headline else DIM),
            (interval(headline.interval) if headline else "", DIM),
            (picture, SPARK if about == "accuracy" else DIM),
            _number(line.step),
            _number(run.size),
            _number(run.seed),
            (age(now - run.created), DIM),
            (duration(run_seconds(run, now)), LIVE if line.status == "running" else PLAIN),
            (one_line(run.kind), PLAIN),
            (one_line(tail(run.model)), PLAIN),
            (one_line(tail(run.data)), PLAIN),
            (one_line(run.group or ""), DIM),
            (one_line(run.name or ""), PLAIN),
            (one_line(" ".join(run.tags)), SPARK),
        )

    def _folded(self, item: Folded) -> Sequence[Cell]:
        entries, opened = item.entries, item.group in self._model.open_groups
        statuses = Counter(entry.line.status for entry in entries)
        signs = " ".join(f"{STATUS_SIGNS.get(s, ('·', ''))[0]}{n}" for s, n in statuses.items())
        shares = [e.line.headline.accuracy for e in entries if e.line.headline]
        mean = sum(shares) / len(shares) if shares else None
        spread = interval((min(shares), max(shares))) if len(shares) > 1 else ""
        newest = max(entry.run.created for entry in entries)
        return (
            (f"{'▾' if opened else '▸'} {one_line(item.group)} ({len(entries)})", LIVE),
            (signs, DIM),
            (percent(mean), STRONG if shares else DIM),
            (spread, DIM),
            (sparkline(sorted(shares), SPARK_CELLS), SPARK),
            ("", PLAIN),
            (_same(entries, lambda entry: entry.run.size), PLAIN),
            ("", PLAIN),
            (age(time.time() - newest), DIM),
            ("", PLAIN),
            (_same(entries, lambda entry: entry.run.kind), PLAIN),
            (_same(entries, lambda entry: tail(entry.run.model)), PLAIN),
            (_same(entries, lambda entry: tail(entry.run.data)), PLAIN),
            ("", PLAIN),
            ("", PLAIN),
            ("", PLAIN),
        )


def entry_of(item: Item | None) -> Entry | None:
    """The run of a row; None for a folded group."""
    return item if isinstance(item, Entry) else None


def _room(lengths: Sequence[int]) -> int:
    return min(_LONGEST_NAME, max(lengths, default=5))


def _number(value: int | None) -> Cell:
    return ("-", DIM) if value is None else (f"{value}", PLAIN)


def _same(entries: Sequence[Entry], of: Callable[[Entry], object]) -> str:
    """What all of them have; nothing where they differ."""
    found = {of(entry) for entry in entries}
    value = found.pop()
    return "" if found or value is None else one_line(str(value))
