"""The columns of a comparison: one text per row, for the terminal and for every other format."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import JustifyMethod
from rich.text import Text

from a5ctl.console import plain
from a5ctl.figures import ACCURACY
from a5ctl.format import (
    compact,
    count,
    deviation,
    duration,
    figure,
    interval,
    p_value,
    percent,
    points,
)
from a5ctl.tables.comparison import Comparison
from a5ctl.tables.comparison_cell import Cell
from a5ctl.tables.moments import Moment
from a5ctl.tables.settings import short_name, value_text
from a5ctl.tables.sparks import POINTS, mean_of, sparkline

# the longest name of a loss; longer values of settings and run ids are folded
_LONGEST = 24
_FIRST_SETTINGS = 3
FURTHER_SETTING = 7
"""Priority of the settings behind the first ones: they leave before any figure does."""
_LEAST_TITLE = 8
CURVE = "curve"
_NOTHING = frozenset({"-", ""})


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        priority: Columns with the largest numbers leave first when the terminal is narrow.
        width: Characters that it is expected to need.
        cell: Its text in a row.
        least: Characters that it gets in any case; None where it may be squeezed.
        told_once: It leaves the table where all rows have the same, which is said below it.
    """

    title: str
    priority: int
    width: int
    cell: Callable[[Cell], Text]
    justify: JustifyMethod = "right"
    least: int | None = None
    told_once: bool = False


def comparison_columns(comparison: Comparison) -> list[Column]:
    """Every column, however wide the terminal is."""
    settings = [
        _setting_column(comparison, key, 2 if number < _FIRST_SETTINGS else FURTHER_SETTING)
        for number, key in enumerate(comparison.varying)
    ]
    longest = min(_LONGEST, max(len(_name(cell)) for cell in comparison.cells))
    name = Column("run", 0, longest, _name, "left", least=longest)
    if comparison.view.by is not None and comparison.varying:
        rows = [*settings, replace(name, title="runs", priority=2)]
    else:
        rows = [name, *_label_column(comparison), *settings]
    return [
        *rows,
        *_value_columns(comparison),
        *_figure_columns(comparison),
        *(_paired_columns(comparison) if comparison.baseline else []),
    ]


def told_once(comparison: Comparison, columns: Sequence[Column]) -> list[tuple[Column, str]]:
    """Columns that need no place, with what they say: the same in every row, or nothing at all."""
    said = ((column, _said_alike(column, comparison.cells)) for column in columns)
    return [(column, text) for column, text in said if text is not None]


def _said_alike(column: Column, cells: Sequence[Cell]) -> str | None:
    """What a column says in every row; None where it needs its place, as one row mostly shows."""
    texts: set[str] = set()
    for cell in cells:
        texts.add(column.cell(cell).plain)
        if not texts <= _NOTHING and (len(texts) > 1 or not column.told_once):
            return None
    return texts.pop() if texts <= _NOTHING or len(cells) > 1 else None


def _value_columns(comparison: Comparison) -> list[Column]:
    best = comparison.cells[0] if comparison.measure.better and comparison.cells[1:] else None
    title = comparison.measure.name
    width = max(9, len(title) if len(title) <= _LONGEST else _LONGEST)
    columns = [
        Column(title, 0, width, lambda c: _value(comparison, c, c is best), least=width),
        Column("95% interval", 1, 12, lambda c: _uncertainty(comparison, c)),
    ]
    if comparison.curves:
        ends = _ends(comparison)
        columns.append(
            Column(CURVE, 3, POINTS, lambda c: _curve(comparison, c, ends), "left", least=POINTS)
        )
    return columns


def _figure_columns(comparison: Comparison) -> list[Column]:
    other = comparison.measure.name != ACCURACY
    columns = [
        Column(ACCURACY, 2, 9, lambda c: Text(percent(_accuracy(c)))),
        Column("diagnostic", 4, 10, lambda c: Text(_grader_mean(c, "diagnostic")), told_once=True),
        Column("t1/t2/t3 %", 5, 10, _types),
        Column("unclosed", 3, 8, lambda c: Text(percent(c.average("unclosed"))), told_once=True),
        Column("unparse", 5, 7, lambda c: Text(_unparseable(c)), told_once=True),
        Column("length", 6, 6, lambda c: Text(count(_mean_length(c))), told_once=True),
        Column("step", 3, 8, _steps, told_once=True),
        Column("tokens", 6, 6, lambda c: Text(_tokens(c)), told_once=True),
        Column("time", 6, 7, lambda c: Text(_time(c)), told_once=True),
    ]
    stepped = comparison.view.at.moment is not Moment.LAST or comparison.view.follow_lineage
    shown = {ACCURACY: other, "step": stepped}
    return [column for column in columns if shown.get(column.title, True)]


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
        Column("diff", 1, 8, show(lambda p: points(p.comparison.difference))),
        Column("95% of diff", 4, 13, show(lambda p: interval(p.bootstrap))),
        Column("+/-", 2, 9, show(lambda p: f"+{p.comparison.only_b}/-{p.comparison.only_a}")),
        Column("p (Holm)", 1, 10, show(lambda p: p_value(p.adjusted))),
    ]


def _name(cell: Cell) -> Text:
    if len(cell.entries) == 1:
        return plain(cell.entries[0].run.id, style="cyan")
    first = cell.entries[0].run.id.rsplit("-", 1)[0]
    once_each = len({entry.run.seed for entry in cell.entries}) == len(cell.entries)
    what = "seeds" if once_each and not cell.mixed else "runs"
    return plain(f"{first} x{len(cell.entries)} {what}", style="cyan")


def _label_column(comparison: Comparison) -> list[Column]:
    """What people called their runs; no column where nobody named one."""
    longest = min(_LONGEST, max(len(_label(cell).plain) for cell in comparison.cells))
    return [Column("name", 2, longest, _label, "left", least=longest)] if longest else []


def _label(cell: Cell) -> Text:
    """The name of a run that stands alone; a plan's names only repeat the settings."""
    run = cell.entries[0].run
    of_plan = any(tag.startswith("cell:") for tag in run.tags)
    return plain("" if len(cell.entries) > 1 or of_plan else run.name or "")


def _setting_column(comparison: Comparison, key: str, priority: int) -> Column:
    values = [_shown(key, cell) for cell in comparison.cells]
    longest = min(_LONGEST, max(map(len, values)))
    title = short_name(key, comparison.varying)
    # a title may be broken, a value not
    width = max(longest, min(_LEAST_TITLE, len(title)))
    return Column(title, priority, width, _setting(key), least=longest)


def _setting(key: str) -> Callable[[Cell], Text]:
    return lambda cell: plain(_shown(key, cell))


def _shown(key: str, cell: Cell) -> str:
    return value_text(key, cell.settings.get(key))


def _value(comparison: Comparison, cell: Cell, best: bool) -> Text:
    mark = "†" if any(entry.best_on_test for entry in cell.entries) else ""
    shown = percent(cell.mean) if comparison.measure.share else figure(cell.mean)
    return Text(f"{'★ ' if best else ''}{shown}{mark}", style="green" if best else "")


def _uncertainty(comparison: Comparison, cell: Cell) -> Text:
    share, error = comparison.measure.share, cell.standard_error
    found = cell.interval
    if comparison.view.by is not None and len(cell.entries) > 1:
        found = cell.seeds_interval
        error = None
    if found is not None:
        if share:
            return Text(interval((max(0.0, found[0]), min(1.0, found[1]))))
        return Text(f"[{figure(found[0])}, {figure(found[1])}]")
    if error is None:
        return Text("-")
    return Text(f"{deviation(error)} (SE)" if share else f"± {figure(error)} (SE)")


def _values_of(comparison: Comparison, cell: Cell) -> tuple[float, ...]:
    found = [comparison.curves.get(entry.run.uuid) for entry in cell.entries]
    return mean_of([curve for curve in found if curve])


def _ends(comparison: Comparison) -> tuple[float, float]:
    """The smallest and largest value of all rows, so that their curves have one scale."""
    values = [v for cell in comparison.cells for v in _values_of(comparison, cell)]
    return (min(values), max(values)) if values else (0.0, 1.0)


def _curve(comparison: Comparison, cell: Cell, ends: tuple[float, float]) -> Text:
    return Text(sparkline(_values_of(comparison, cell), *ends), style="cyan")


def _accuracy(cell: Cell) -> float:
    return sum(entry.accuracy for entry in cell.entries) / len(cell.entries)


def _steps(cell: Cell) -> Text:
    """Steps of the evaluations, behind those that came before the run."""
    found = set()
    for entry in cell.entries:
        before = entry.carried.steps if entry.carried else 0
        found.add(f"{before}+{entry.evaluation.step}" if before else str(entry.evaluation.step))
    first, *others = sorted(found)
    return Text(f"{first} ..." if others else first)


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
