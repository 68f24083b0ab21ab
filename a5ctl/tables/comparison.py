"""Runs side by side: which settings differ, how accurate each is, and how sure that is."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from a5ctl.tables.entries import Entry, collect_entries, protocol_differences
from a5ctl.tables.pairs import (
    Detectable,
    Paired,
    SettingTest,
    detectable_between,
    detectable_of,
    paired_tests,
    setting_tests,
)
from a5ctl.tables.same import take_as_one
from a5ctl.tables.selection import selection_note
from a5ctl.tables.settings import varying_settings
from core.errors import UserError
from core.protocol import ProtocolDifference
from core.registry.records import RunRecord
from core.registry.store import Registry
from core.statistics import mean_and_standard_error


@dataclass(frozen=True, slots=True)
class Cell:
    """Runs that differ only in their seed.

    Attributes:
        mean: Mean accuracy over the runs.
        standard_error: Of that mean over seeds; None for one run.
    """

    entries: tuple[Entry, ...]
    mean: float
    standard_error: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95% Wilson interval of a single run; seeds have a standard error instead."""
        return self.entries[0].interval if len(self.entries) == 1 else None

    def average(self, name: str) -> float:
        """Mean over the runs of a share of the evaluation, such as `unclosed`."""
        return sum(getattr(e.evaluation, name) / e.evaluation.n for e in self.entries) / len(
            self.entries
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything the table shows.

    Attributes:
        varying: Settings that differ, in the order of the columns.
        cells: Rows, best first.
        warnings: Protocols that differ, runs without an evaluation, and the like.
        baseline: Id of the run that the others are tested against.
        paired: By run id.
        detectable: The accuracy difference that this table can tell from noise; None where
            nothing was asked twice.
        settings: Other settings against the baseline's over seeds, where there are several.
        grader: What accuracy means here; None where each run has its own headline grader.
        same: Settings that runs of one row may differ in.
    """

    varying: tuple[str, ...]
    cells: tuple[Cell, ...]
    warnings: tuple[str, ...]
    grader: str | None
    baseline: str | None = None
    paired: Mapping[str, Paired] = field(default_factory=dict)
    settings: tuple[SettingTest, ...] = ()
    detectable: Detectable | None = None
    same: tuple[str, ...] = ()


def build_comparison(
    registry: Registry,
    runs: Sequence[RunRecord],
    *,
    grader: str | None = None,
    baseline: RunRecord | None = None,
    merge_seeds: bool = True,
    force: bool = False,
    same: Sequence[str] = (),
) -> Comparison:
    """Collect and compare.

    Args:
        registry: Where the runs are.
        runs: What to compare; those without an evaluation are named in a warning.
        grader: Decides accuracy; each evaluation's own headline grader when None.
        baseline: Test every run against this one.
        merge_seeds: Runs that differ only in their seed become one row.
        force: Test even where the protocols differ.
        same: Settings that runs may differ in and still be one, see `take_as_one`.

    Raises:
        UserError: none of the runs has an evaluation, the baseline has none, or `same` does not
            fit the runs.
    """
    entries, left_out = collect_entries(registry, runs, grader)
    if baseline is not None and baseline.id in left_out:
        raise UserError(f"baseline {baseline.id} {left_out[baseline.id]}; choose another one")
    if not entries:
        raise UserError(_nothing(left_out, grader))
    entries = take_as_one(entries, same)
    warnings = _left_out_warnings(left_out) + _protocol_warnings(entries)
    if note := selection_note(entry.run for entry in entries):
        warnings.append(note)
    cells = _cells(entries, merge_seeds)
    paired: Mapping[str, Paired] = {}
    settings: tuple[SettingTest, ...] = ()
    if baseline is not None:
        reference = next(e for e in entries if e.run.uuid == baseline.uuid)
        paired = paired_tests(registry, reference, entries, grader, force)
        settings = setting_tests(registry, reference, entries, grader, force)
    if paired:
        detectable = detectable_of(paired)
    else:
        best = sorted(entries, key=lambda entry: -entry.accuracy)[:2]
        detectable = detectable_between(registry, best, grader)
    return Comparison(
        varying=varying_settings([cell.entries[0].settings for cell in cells]),
        cells=tuple(sorted(cells, key=lambda cell: -cell.mean)),
        warnings=tuple(warnings),
        grader=grader or _common_grader(entries),
        baseline=baseline.id if baseline else None,
        paired=paired,
        settings=settings,
        detectable=detectable,
        same=tuple(same),
    )


def _nothing(left_out: Mapping[str, str], grader: str | None) -> str:
    judged = [f"run {run} {why}" for run, why in left_out.items() if "no accuracy" in why]
    if judged:
        return f"{judged[0]}; choose another --grader than {grader}"
    return "none of these runs has an evaluation yet; a5ctl ls shows where they stand"


def _cells(entries: Sequence[Entry], merge_seeds: bool) -> list[Cell]:
    groups: dict[Any, list[Entry]] = defaultdict(list)
    for entry in entries:
        key = entry.setting if merge_seeds else entry.run.uuid
        groups[(key, entry.reached)].append(entry)
    cells = []
    for group in groups.values():
        mean, error = mean_and_standard_error([entry.accuracy for entry in group])
        cells.append(Cell(tuple(group), mean, error))
    return cells


def _left_out_warnings(left_out: Mapping[str, str]) -> list[str]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for run, why in left_out.items():
        by_reason[why].append(run)
    return [
        f"{runs[0]} {why} and is left out"
        if len(runs) == 1
        else f"{_some(runs)} {why.replace('has', 'have', 1)} and are left out"
        for why, runs in by_reason.items()
    ]


def _common_grader(entries: Sequence[Entry]) -> str | None:
    graders = {entry.evaluation.grader for entry in entries}
    return graders.pop() if len(graders) == 1 else None


def _protocol_warnings(entries: Sequence[Entry]) -> list[str]:
    reference = entries[0]
    by_fields: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = defaultdict(list)
    compared: dict[int, ProtocolDifference] = {}  # most evaluations share one of few protocols
    for entry in entries[1:]:
        key = id(entry.evaluation.protocol)
        if key not in compared:
            compared[key] = protocol_differences(reference.evaluation, entry.evaluation)
        found = compared[key]
        if found.blocking or found.warning:
            by_fields[(found.blocking, found.warning)].append(entry.run.id)
    return [
        f"protocol: {_some(ids)} differ{'s' if len(ids) == 1 else ''} from {reference.run.id} in "
        f"{', '.join(blocking + warning)}"
        + (_consequence(reference.run.id, ids[0], blocking) if blocking else "")
        for (blocking, warning), ids in by_fields.items()
    ]


def _consequence(reference: str, other: str, blocking: tuple[str, ...]) -> str:
    if blocking == ("grader_version",):
        return "; a5ctl regrade RUN judges the older ones by the version of today"
    return (
        "; these accuracies answer different questions, "
        f"a5ctl protocol diff {reference} {other} shows the values"
    )


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids) if len(ids) <= 3 else f"{ids[0]} and {len(ids) - 1} more"
