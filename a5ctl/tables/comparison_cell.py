"""A row of a comparison: runs that are taken as one."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from a5ctl.tables.entries import Entry
from core.statistics import mean_and_standard_error, mean_interval


@dataclass(frozen=True, slots=True)
class Cell:
    """Runs that differ only in their seed, or that have the values of a row in common.

    Attributes:
        mean: Mean value over the runs, their accuracy where nothing else is asked for.
        standard_error: Of that mean over seeds; None for one run, and where runs differ in more.
        settings: What names the row; all settings, or those that were asked for.
        mixed: Other settings in which its runs differ, with their values.
    """

    entries: tuple[Entry, ...]
    mean: float
    standard_error: float | None
    settings: Mapping[str, Any]
    mixed: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95% interval of a single run; seeds have a standard error instead."""
        return self.entries[0].interval if len(self.entries) == 1 else None

    @property
    def seeds_interval(self) -> tuple[float, float] | None:
        """Student's 95% interval of the mean over seeds.

        None where runs differ in more, and where all values are one: a few seeds that agree, such
        as at 0%, are no certainty.
        """
        seeds = {entry.run.seed for entry in self.entries}
        if self.mixed or None in seeds or len(seeds) < len(self.entries):
            return None
        values = [entry.value for entry in self.entries]
        return None if len(set(values)) == 1 else mean_interval(values)

    def average(self, name: str) -> float:
        """Mean over the runs of a share of the evaluation, such as `unclosed`."""
        return sum(getattr(e.evaluation, name) / e.evaluation.n for e in self.entries) / len(
            self.entries
        )


def mean_and_error(entries: Sequence[Entry]) -> tuple[float, float | None]:
    """Mean value of the runs, and its standard error over seeds; None for a single seed.

    Runs of one seed are one value of it; a run whose seed is not known stands for itself.
    """
    by_seed = defaultdict[Any, list[float]](list)
    for entry in entries:
        by_seed[entry.run.uuid if entry.run.seed is None else entry.run.seed].append(entry.value)
    mean, _ = mean_and_standard_error([entry.value for entry in entries])
    _, error = mean_and_standard_error([sum(own) / len(own) for own in by_seed.values()])
    return mean, error
