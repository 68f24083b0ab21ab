"""A comparison as a table that fits the terminal, and as plain data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich import box
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import compact, count, duration, interval, p_value, percent, points
from a5ctl.tables.comparison import Cell, Comparison
from a5ctl.tables.entries import Entry
from a5ctl.tables.pairs import SettingTest
from a5ctl.tables.settings import short_name, value_text

# the longest name of a loss; longer values of settings and run ids are folded
_LONGEST = 24
# columns from this priority on leave before a title is broken
_SPARE = 4


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        priority: Columns with the largest numbers leave first when the terminal is narrow.
        width: Characters it is expected to need.
        least: Characters that it gets in any case; None where it may be squeezed.
    """

    title: str
    priority: int
    width: int
    cell: Callable[[Cell], Text]
    justify: JustifyMethod = "right"
    least: int | None = None


def best_cells(comparison: Comparison, limit: int | None) -> Comparison:
    """The comparison with its first rows only, so many of them and that of the baseline."""
    if limit is None or len(comparison.cells) <= limit:
        return comparison
    kept = comparison.cells[:limit]
    rest = comparison.cells[limit:]
    baseline = [c for c in rest if any(e.run.id == comparison.baseline for e in c.entries)]
    return replace(comparison, cells=(*kept, *baseline))


def comparison_table(comparison: Comparison, width: int) -> tuple[Table, tuple[str, ...]]:
    """The table, and the titles of the columns that did not fit.

    Args:
        comparison: What to show.
        width: Columns of the terminal.
    """
    columns = comparison_columns(comparison)
    kept = _fitting(columns, width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in kept:
        table.add_column(
            column.title, justify=column.justify, overflow="fold", min_width=column.least
        )
    for number, cell in enumerate(comparison.cells):
        style = "bold" if number == 0 and len(comparison.cells) > 1 else ""
        table.add_row(*(column.cell(cell) for column in kept), style=style)
    shown = {column.title for column in kept}
    return table, tuple(column.title for column in columns if column.title not in shown)


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain data."""
    return {
        "grader": comparison.grader,
        "baseline": comparison.baseline,
        "varying": comparison.varying,
        "same": comparison.same,
        "warnings": comparison.warnings,
        "detectable": None if comparison.detectable is None else asdict(comparison.detectable),
        "settings": [asdict(test) for test in comparison.settings],
        "cells": [
            {
                "settings": {key: cell.entries[0].settings.get(key) for key in comparison.varying},
                "accuracy": cell.mean,
                "standard_error": cell.standard_error,
                "interval": cell.interval,
                "runs": [_entry_json(entry, comparison) for entry in cell.entries],
            }
            for cell in comparison.cells
        ],
    }


def setting_line(test: SettingTest) -> str:
    """What several seeds say about a setting, in one sentence."""
    name, found = f"the setting of {', '.join(test.runs)}", test.comparison
    if found is None or test.adjusted is None:
        return f"{name} is not tested: {test.refused}"
    return (
        f"{name}: {points(found.difference)} points {interval(found.interval)}, "
        f"p {p_value(test.adjusted)} (Holm) over {len(found.seeds)} paired seeds and "
        f"{found.problems:,} problems, both random; differences under "
        f"{100 * found.detectable:.1f} points cannot be told from noise"
    )


def _entry_json(entry: Entry, comparison: Comparison) -> dict[str, Any]:
    evaluation = entry.evaluation
    paired = comparison.paired.get(entry.run.id)
    return {
        "run": entry.run.id,
        "seed": entry.run.seed,
        "selected_on_test": entry.run.selected_on_test,
        "step": evaluation.step,
        "split": evaluation.split,
        "accuracy": entry.accuracy,
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
    }


def comparison_columns(comparison: Comparison) -> list[Column]:
    """Every column, however wide the terminal is."""
    best = comparison.cells[0]
    settings = [
        _setting_column(comparison, key, 2 if number < 3 else 7)
        for number, key in enumerate(comparison.varying)
    ]
    figures = [
        Column("accuracy", 0, 9, lambda c: _accuracy(c, c is best and len(comparison.cells) > 1)),
        Column("95% interval", 1, 13, _uncertainty),
        Column("diagnostic", 4, 10, lambda c: Text(_grader_mean(c, "diagnostic"))),
        Column("t1/t2/t3 %", 5, 11, _types),
        Column("unclosed", 3, 8, lambda c: Text(percent(c.average("unclosed")))),
        Column("unparse", 5, 7, lambda c: Text(_unparseable(c))),
        Column("length", 6, 6, lambda c: Text(count(_mean_length(c)))),
        Column("tokens", 6, 6, lambda c: Text(_tokens(c))),
        Column("time", 6, 7, lambda c: Text(_time(c))),
    ]
    longest = min(_LONGEST, max(len(_name(cell)) for cell in comparison.cells))
    return [
        Column("run", 0, longest + 2, _name, "left", least=longest),
        *settings,
        *figures,
        *(_paired_columns(comparison) if comparison.baseline else []),
    ]


def _paired_columns(comparison: Comparison) -> list[Column]:
    def show(render: Callable[[Any], str]) -> Callable[[Cell], Text]:
        def cell_text(cell: Cell) -> Text:
            lines = []
            for entry in cell.entries:
                if entry.run.id == comparison.baseline:
                    lines.append("baseline")
                    continue
                paired = comparison.paired.get(entry.run.id)
                lines.append(render(paired) if paired and paired.comparison else "not tested")
            return Text("\n".join(lines))

        return cell_text

    return [
        Column("diff", 1, 10, show(lambda p: points(p.comparison.difference))),
        Column("95% of diff", 4, 14, show(lambda p: interval(p.bootstrap))),
        Column("+/-", 2, 10, show(lambda p: f"+{p.comparison.only_b}/-{p.comparison.only_a}")),
        Column("p (Holm)", 1, 10, show(lambda p: p_value(p.adjusted))),
    ]


def _fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """The most important columns, with whole titles where only spare ones have to leave for it."""
    whole = [_with_whole_title(column) for column in columns]
    spared = [column.title for column in columns if column.priority < _SPARE]
    kept = _dropped(whole, width)
    if {column.title for column in kept}.issuperset(spared):
        return kept
    return _dropped(columns, width)


def _dropped(columns: Sequence[Column], width: int) -> list[Column]:
    kept = list(columns)
    while sum(column.width + 1 for column in kept) > width and len(kept) > 2:
        kept.remove(max(reversed(kept), key=lambda column: column.priority))
    return kept


def _with_whole_title(column: Column) -> Column:
    length = min(_LONGEST, len(column.title))
    if column.least is None or column.least >= length:
        return column
    return replace(column, least=length, width=max(column.width, length + 2))


def _name(cell: Cell) -> Text:
    if len(cell.entries) == 1:
        return plain(cell.entries[0].run.id, style="cyan")
    first = cell.entries[0].run.id.rsplit("-", 1)[0]
    return plain(f"{first} x{len(cell.entries)} seeds", style="cyan")


def _setting_column(comparison: Comparison, key: str, priority: int) -> Column:
    values = [_shown(key, cell) for cell in comparison.cells]
    longest = min(_LONGEST, max(map(len, values)))
    # what may not be squeezed needs the space around it too
    return Column(short_name(key), priority, max(9, longest + 2), _setting(key), least=longest)


def _setting(key: str) -> Callable[[Cell], Text]:
    return lambda cell: plain(_shown(key, cell))


def _shown(key: str, cell: Cell) -> str:
    return value_text(key, cell.entries[0].settings.get(key))


def _accuracy(cell: Cell, best: bool) -> Text:
    return Text(f"{'★ ' if best else ''}{percent(cell.mean)}", style="green" if best else "")


def _uncertainty(cell: Cell) -> Text:
    if cell.interval is not None:
        return Text(interval(cell.interval))
    return Text(f"± {100 * (cell.standard_error or 0):.1f} (SE)")


def _grader_mean(cell: Cell, grader: str) -> str:
    values = [entry.evaluation.accuracy_by_grader[grader] for entry in cell.entries]
    return percent(sum(values) / len(values))


def _types(cell: Cell) -> Text:
    n = sum(entry.evaluation.n for entry in cell.entries)
    totals = map(sum, zip(*(entry.types for entry in cell.entries), strict=True))
    return Text("/".join(f"{100 * total / n:.0f}" for total in totals))


def _unparseable(cell: Cell) -> str:
    numeric = sum(entry.evaluation.numeric for entry in cell.entries)
    return (
        percent(sum(e.evaluation.unparseable for e in cell.entries) / numeric) if numeric else "-"
    )


def _mean_length(cell: Cell) -> float:
    lengths: list[Mapping[str, Any]] = [e.evaluation.lengths["response"] for e in cell.entries]
    return sum(float(length["mean"]) for length in lengths) / len(lengths)


def _tokens(cell: Cell) -> str:
    values = [e.tokens_trained for e in cell.entries if e.tokens_trained is not None]
    return compact(sum(values) / len(values)) if values else "-"


def _time(cell: Cell) -> str:
    values = [e.seconds for e in cell.entries if e.seconds is not None]
    return duration(sum(values) / len(values)) if values else "-"
