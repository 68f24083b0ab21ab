"""A comparison as plain data, and as rows of raw figures."""

from dataclasses import asdict
from typing import Any

from a5ctl.tables.comparison import Comparison
from a5ctl.tables.comparison_cell import Cell
from a5ctl.tables.entries import Entry
from a5ctl.tables.run_report import finite


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain data."""
    return {
        "grader": comparison.grader,
        "baseline": comparison.baseline,
        "metric": comparison.measure.name,
        "at": str(comparison.view.at),
        "by": comparison.view.by,
        "common": comparison.common,
        "spark": comparison.view.spark,
        "follow_lineage": comparison.view.follow_lineage,
        "varying": comparison.varying,
        "same": comparison.same,
        "warnings": comparison.warnings,
        "detectable": None if comparison.detectable is None else asdict(comparison.detectable),
        "settings": [asdict(test) for test in comparison.settings],
        "cells": [
            {
                "settings": {key: cell.settings.get(key) for key in comparison.varying},
                "accuracy": sum(entry.accuracy for entry in cell.entries) / len(cell.entries),
                "value": finite(cell.mean),
                "standard_error": finite(cell.standard_error),
                "interval": cell.interval,
                "seeds_interval": _finite_pair(cell.seeds_interval),
                "mixed": cell.mixed,
                "runs": [_entry_json(entry, comparison) for entry in cell.entries],
            }
            for cell in comparison.cells
        ],
    }


def comparison_rows(comparison: Comparison) -> tuple[list[str], list[list[Any]]]:
    """Titles and rows of figures as they are, for programs that read tables."""
    titles = ["runs", "n_runs", "seeds", *comparison.varying, comparison.measure.name]
    titles += [
        "standard_error",
        "low",
        "high",
        "step",
        "tokens",
        "seconds",
        "selected_on_test",
        "mixed",
    ]
    return titles, [_row(cell, comparison) for cell in comparison.cells]


def _row(cell: Cell, comparison: Comparison) -> list[Any]:
    entries = cell.entries
    low, high = (cell.interval or cell.seeds_interval) or (None, None)
    seeds = [str(e.run.seed) for e in entries if e.run.seed is not None]
    steps = {e.evaluation.step for e in entries}
    return [
        " ".join(entry.run.id for entry in entries),
        len(entries),
        " ".join(seeds),
        *(cell.settings.get(key) for key in comparison.varying),
        cell.mean,
        cell.standard_error,
        *(low, high),
        " ".join(map(str, sorted(steps))),
        _mean([e.tokens_trained for e in entries]),
        _mean([e.seconds for e in entries]),
        any(e.best_on_test or e.run.selected_on_test for e in entries),
        " ".join(cell.mixed),
    ]


def _mean(values: "list[float | None]") -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _finite_pair(pair: tuple[float, float] | None) -> list[Any] | None:
    return None if pair is None else [finite(end) for end in pair]


def _entry_json(entry: Entry, comparison: Comparison) -> dict[str, Any]:
    evaluation = entry.evaluation
    paired = comparison.paired.get(entry.run.id)
    return {
        "run": entry.run.id,
        "seed": entry.run.seed,
        "selected_on_test": entry.run.selected_on_test,
        "best_on_test": entry.best_on_test,
        "step": evaluation.step,
        "split": evaluation.split,
        "accuracy": entry.accuracy,
        "value": finite(entry.value),
        "interval": entry.interval,
        "accuracy_by_grader": dict(evaluation.accuracy_by_grader),
        **{name: getattr(evaluation, name) for name in ("n", "unclosed", "unparseable", "numeric")},
        **dict(zip(("type1", "type2", "type3"), entry.types, strict=True)),
        "mean_length": evaluation.lengths["response"]["mean"],
        "tokens_trained": entry.tokens_trained,
        "seconds": entry.seconds,
        "protocol": {"generation": evaluation.generation, "grading": evaluation.grading},
        "sampled": None if entry.sampled is None else asdict(entry.sampled),
        "paired": None if paired is None else asdict(paired),
        "carried": _carried(entry),
        "curve": comparison.curves.get(entry.run.uuid),
    }


def _carried(entry: Entry) -> dict[str, Any] | None:
    """Steps, tokens and time before the run; the run's own figures have them in them."""
    if entry.carried is None:
        return None
    carried = entry.carried
    return {
        "runs": [{"run": stage.run.id, "step": stage.step} for stage in carried.stages],
        "steps": carried.steps,
        "tokens": carried.tokens,
        "seconds": carried.seconds,
        "gone": carried.gone or None,
    }
