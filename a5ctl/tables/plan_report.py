"""The report of a plan: its figures, the effect of each axis, and the verdicts."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import deviation, interval, p_value, percent, points
from a5ctl.tables.criteria_view import plan_json, plan_lines
from a5ctl.tables.fit import FitColumn, fitted_table
from a5ctl.tables.hanging import hanging
from a5ctl.tables.plan_effects import Effect, PlanFigures, Row
from a5ctl.tables.verdicts import PlanReport
from core.plans.cells import title
from core.plans.plan import Plan

_ALPHA = 0.05
_SPEAKS = (
    "effect: value minus the first value of its axis, mean over all other axes; 95% interval and p "
    "over seeds and problems from three seeds on, else over problems (these runs only); p is "
    "Holm-corrected"
)


@dataclass(frozen=True, slots=True)
class Reported:
    """Everything a report says.

    Attributes:
        counts: How many cells stand where, in words.
        verdicts: Of the criteria; None where the plan has none.
    """

    plan: Plan
    counts: str
    figures: PlanFigures
    verdicts: PlanReport | None


def report_parts(reported: Reported, console: Console) -> Iterator[RenderableType]:
    """The report for the terminal."""
    plan, figures = reported.plan, reported.figures
    yield plain(f"plan {plan.name} ({plan.hash})", "bold")
    for text in (plan.form.question, plan.form.note):
        if text:
            yield plain(text, "dim")
    yield plain(f"{reported.counts}; accuracy by the {figures.grader} grader", "dim")
    for number, (headers, rows) in enumerate(report_tables(figures)):
        if not rows:
            continue
        yield Text("")
        yield fitted_table(_columns(headers, rows), console)
        if number:
            yield hanging(_SPEAKS, "dim", console)
    if reported.verdicts is not None:
        yield Text("")
        for line, style in plan_lines(reported.verdicts):
            yield hanging(line, style, console)


def report_tables(figures: PlanFigures) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Headers and rows: the settings, then the effects."""
    settings = ("setting", "seeds", "accuracy", "± or 95%", "unclosed")
    effects = ("axis", "value", "against", "effect", "95%", "p", "seeds", "over")
    return [
        (settings, [_row(row) for row in figures.rows]),
        (effects, [_effect(effect) for effect in figures.effects]),
    ]


def report_markdown(reported: Reported) -> str:
    """The report as Markdown."""
    plan = reported.plan
    parts = [f"## {_cell(plan.name)}"]
    parts += [_cell(text) for text in (plan.form.question, plan.form.note) if text]
    parts.append(f"{reported.counts}; accuracy by the {reported.figures.grader} grader.")
    for headers, rows in report_tables(reported.figures):
        if rows:
            lines = [headers, tuple("---" for _ in headers), *rows]
            parts.append("\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines))
    if reported.verdicts is not None:
        lines_ = [line.strip() for line, _ in plan_lines(reported.verdicts) if line.strip()]
        parts.append("\n".join(f"- {_cell(line)}" for line in lines_[1:]))
    return "\n\n".join(parts) + "\n"


def report_json(reported: Reported) -> dict[str, Any]:
    """The report for programs; differences and intervals are shares."""
    verdicts = reported.verdicts
    return {
        "plan": reported.plan.name,
        "hash": reported.plan.hash,
        "question": reported.plan.form.question,
        "cells": reported.counts,
        "grader": reported.figures.grader,
        "settings": [
            {**asdict(row), "labels": _labels(row.labels)} for row in reported.figures.rows
        ],
        "effects": [
            {
                **asdict(effect),
                "value": _labels(effect.value),
                "baseline": _labels(effect.baseline),
            }
            for effect in reported.figures.effects
        ],
        "criteria": None if verdicts is None else plan_json(verdicts),
    }


def _labels(labels: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    return dict(labels)


def _row(row: Row) -> tuple[str, ...]:
    spread = "-"
    if row.standard_error is not None:
        spread = deviation(row.standard_error)
    elif row.interval is not None:
        spread = interval(row.interval)
    seeds = f"{row.finished}" if row.finished == row.seeds else f"{row.finished} of {row.seeds}"
    return (row.name, seeds, percent(row.mean), spread, percent(row.unclosed))


def _effect(effect: Effect) -> tuple[str, ...]:
    value, against = (_value(labels) for labels in (effect.value, effect.baseline))
    if effect.refused:
        return (effect.axis, value, against, "-", effect.refused, "-", "-", "-")
    p = effect.p if effect.adjusted is None else effect.adjusted
    mark = "*" if p < _ALPHA else ""
    over = f"{effect.contexts} x {effect.problems:,} problems"
    return (
        *(effect.axis, value, against, points(effect.difference), interval(effect.interval)),
        *(p_value(p) + mark, str(effect.seeds), over),
    )


def _value(labels: Sequence[tuple[str, Any]]) -> str:
    """The value alone where its axis is one setting, whose name stands beside it."""
    text = title(dict(labels))
    key, _ = labels[0]
    return text.removeprefix(f"{key.rsplit('.', 1)[-1]} ") if len(labels) == 1 else text


_LEFT = ("setting", "axis", "value", "against", "± or 95%", "95%", "over")
_IMPORTANCE = {"setting": 99, "axis": 98, "value": 97, "accuracy": 96, "effect": 95, "95%": 90}
_IMPORTANCE |= {"± or 95%": 90, "p": 92, "against": 80, "seeds": 70, "unclosed": 60, "over": 50}


def _columns(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[FitColumn]:
    return [
        FitColumn(
            header,
            [plain(row[number]) for row in rows],
            _IMPORTANCE[header],
            right=header not in _LEFT,
            elastic=16 if header in ("setting", "value") else None,
        )
        for number, header in enumerate(headers)
    ]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
