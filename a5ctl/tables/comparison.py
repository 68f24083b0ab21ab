"""Runs side by side: which settings differ, how accurate each is, and how sure that is."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from a5ctl.figures import ACCURACY
from a5ctl.tables.by import grouping_keys, mixed_settings
from a5ctl.tables.carried import carried_over
from a5ctl.tables.comparison_cell import Cell, mean_and_error
from a5ctl.tables.comparison_warnings import (
    left_out_warnings,
    mixed_warnings,
    moment_warnings,
    protocol_warnings,
    selection_warnings,
)
from a5ctl.tables.entries import Entry, collect_entries
from a5ctl.tables.measures import Measure, measure_of, measured
from a5ctl.tables.moments import At, Moment
from a5ctl.tables.pairs import (
    Detectable,
    Paired,
    SettingTest,
    detectable_between,
    detectable_of,
    detectable_over_seeds,
    paired_tests,
    setting_tests,
)
from a5ctl.tables.same import take_as_one
from a5ctl.tables.settings import varying_settings
from a5ctl.tables.sparks import Curve
from core.errors import UserError
from core.registry.records import RunRecord
from core.registry.store import Registry


@dataclass(frozen=True, slots=True)
class View:
    """What a comparison shows of its runs.

    Attributes:
        metric: What they are compared by.
        at: The moment that stands for each run.
        by: Settings whose values make the rows, by short or whole names with commas between; None
            for all settings.
        spark: The metric that sparklines show; None without sparklines.
        follow_lineage: Runs have the steps, tokens and time of those they began with, too.
    """

    metric: str = "accuracy"
    at: At = field(default_factory=At)
    by: str | None = None
    spark: str | None = None
    follow_lineage: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything the table shows.

    Attributes:
        varying: Settings that differ, in the order of the columns; with `--by` those asked for.
        cells: Rows, best first.
        warnings: Protocols that differ, runs without an evaluation, and the like.
        baseline: Id of the run that the others are tested against.
        paired: By run id.
        detectable: The accuracy difference that this table can tell from noise; None where
            nothing was asked twice, or where it shows something else.
        settings: Other settings against the baseline's over seeds, where there are several.
        grader: What accuracy means here; None where each run has its own headline grader.
        same: Settings that runs of one row may differ in.
        view: What was asked for.
        curves: Of `view.spark`, by uuid of the run.
        measure: What `mean` is.
        common: Settings that were asked for and are the same for all.
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
    view: View = field(default_factory=View)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    measure: Measure = field(default_factory=Measure)
    common: Mapping[str, Any] = field(default_factory=dict)

    @property
    def entries(self) -> list[Entry]:
        """The runs of all rows."""
        return [entry for cell in self.cells for entry in cell.entries]


def build_comparison(
    registry: Registry,
    runs: Sequence[RunRecord],
    *,
    grader: str | None = None,
    baseline: RunRecord | None = None,
    merge_seeds: bool = True,
    force: bool = False,
    same: Sequence[str] = (),
    view: View = View(),
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
        view: What is shown of them.

    Raises:
        UserError: none of the runs has an evaluation or the metric, the baseline has none, or
            `same` or `by` does not fit the runs.
    """
    carried = carried_over(registry, runs) if view.follow_lineage else {}
    collected = collect_entries(registry, runs, grader, at=view.at, carried=carried)
    entries, left_out, measure = (
        collected.entries,
        dict(collected.left_out),
        measure_of(view.metric),
    )
    if entries:
        at_the_end = view.at.moment is Moment.LAST
        entries, gone = measured(registry, entries, measure, at_the_end=at_the_end)
        left_out |= gone
    if baseline is not None and baseline.id in left_out:
        raise UserError(f"baseline {baseline.id} {left_out[baseline.id]}; choose another one")
    if not entries:
        raise UserError(_nothing(left_out, grader))
    entries = take_as_one(entries, same)
    varying, cells, common = _rows(entries, view.by, merge_seeds=merge_seeds)
    sign = measure.better or 1
    cells.sort(key=lambda cell: _rank(sign * cell.mean))
    paired: Mapping[str, Paired] = {}
    settings: tuple[SettingTest, ...] = ()
    detectable = None
    if baseline is not None:
        reference = next(e for e in entries if e.run.uuid == baseline.uuid)
        paired = paired_tests(registry, reference, entries, grader, force)
        settings = setting_tests(registry, reference, entries, grader, force)
    if paired:
        detectable = detectable_of(paired)
    elif measure.name == ACCURACY:
        detectable = _detectable(registry, cells, entries, grader)
    notes = [
        *left_out_warnings(left_out),
        *protocol_warnings(entries),
        *selection_warnings(entries),
        *moment_warnings(collected.chosen, entries),
        *mixed_warnings(cells),
    ]
    return Comparison(
        varying=varying,
        cells=tuple(cells),
        warnings=tuple(notes),
        grader=grader or _common_grader(entries),
        baseline=baseline.id if baseline else None,
        paired=paired,
        settings=settings,
        detectable=detectable,
        same=tuple(same),
        view=view,
        measure=measure,
        common=common,
    )


def _detectable(
    registry: Registry, cells: Sequence[Cell], entries: Sequence[Entry], grader: str | None
) -> Detectable | None:
    """Of the best two rows over their seeds where they have some; else of the best two runs."""
    rows = [cell.entries for cell in cells[:2] if not cell.mixed]
    over_seeds = detectable_over_seeds(registry, rows, grader)
    best = sorted(entries, key=lambda entry: -entry.accuracy)[:2]
    return over_seeds or detectable_between(registry, best, grader)


def _rank(good: float) -> tuple[bool, float]:
    """The best first; what is no number last."""
    return good != good, -good


def _rows(
    entries: Sequence[Entry], by: str | None, *, merge_seeds: bool
) -> tuple[tuple[str, ...], list[Cell], dict[str, Any]]:
    """The settings that are columns, the rows, and the chosen settings that all have alike."""
    if by is None:
        cells = _cells(entries, merge_seeds)
        return varying_settings([cell.settings for cell in cells]), cells, {}
    keys = grouping_keys(by, [_named(entry) for entry in entries])
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        named = _named(entry)
        groups[repr([named.get(key) for key in keys])].append(entry)
    cells = [_group(group, keys) for group in groups.values()]
    varying = set(varying_settings([cell.settings for cell in cells]))
    columns = tuple(key for key in keys if key in varying)
    return columns, cells, {k: cells[0].settings.get(k) for k in keys if k not in varying}


def _group(entries: Sequence[Entry], keys: Sequence[str]) -> Cell:
    named = _named(entries[0])
    mixed = mixed_settings([entry.settings for entry in entries], keys)
    mean, error = mean_and_error(entries)
    settings = {key: named.get(key) for key in keys}
    return Cell(tuple(entries), mean, None if mixed else error, settings, mixed)


def _named(entry: Entry) -> Mapping[str, Any]:
    """Everything that rows may be made of."""
    return {"seed": entry.run.seed, "group": entry.run.group, **entry.settings}


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
        mean, error = mean_and_error(group)
        cells.append(Cell(tuple(group), mean, error, group[0].settings))
    return cells


def _common_grader(entries: Sequence[Entry]) -> str | None:
    graders = {entry.evaluation.grader for entry in entries}
    return graders.pop() if len(graders) == 1 else None
