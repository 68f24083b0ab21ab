"""A comparison as a table that fits the terminal."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from a5ctl.format import interval, noise_words, p_value, points
from a5ctl.tables.comparison import Comparison
from a5ctl.tables.comparison_columns import Column, comparison_columns, told_once
from a5ctl.tables.folded import FoldColumn, FoldedTable
from a5ctl.tables.pairs import SettingTest

if TYPE_CHECKING:
    from a5ctl.tables.markup import Grid

# columns from this priority on leave before a title is broken
_SPARE = 4
_LONGEST = 24
_GAP = 2


def best_cells(comparison: Comparison, limit: int | None) -> Comparison:
    """The comparison with its first rows only, so many of them and that of the baseline."""
    if limit is None or len(comparison.cells) <= limit:
        return comparison
    kept = comparison.cells[:limit]
    rest = comparison.cells[limit:]
    baseline = [c for c in rest if any(e.run.id == comparison.baseline for e in c.entries)]
    return replace(comparison, cells=(*kept, *baseline))


def comparison_table(comparison: Comparison, width: int) -> tuple[FoldedTable, tuple[str, ...]]:
    """The table, and the titles of the columns that did not fit.

    Args:
        comparison: What to show.
        width: Columns of the terminal.
    """
    columns = comparison_columns(comparison)
    alike = [column for column, _ in told_once(comparison, columns)]
    columns = [column for column in columns if column not in alike]
    kept = _fitting(columns, width)
    made = [
        FoldColumn(
            column.title,
            [column.cell(cell) for cell in comparison.cells],
            column.justify == "right",
            column.least,
        )
        for column in kept
    ]
    table = FoldedTable(made, width, strong_first=len(comparison.cells) > 1)
    shown = {column.title for column in kept}
    return table, tuple(column.title for column in columns if column.title not in shown)


def comparison_grid(comparison: Comparison, notes: Sequence[str]) -> "Grid":
    """The whole table as texts, for other formats, with what stands below it."""
    from a5ctl.tables.markup import Grid

    columns = comparison_columns(comparison)
    alike = [column for column, _ in told_once(comparison, columns)]
    columns = [column for column in columns if column not in alike]
    return Grid(
        titles=[column.title for column in columns],
        rows=[[column.cell(cell).plain for column in columns] for cell in comparison.cells],
        right=[column.justify == "right" for column in columns],
        strong=0 if len(comparison.cells) > 1 else None,
        warnings=comparison.warnings,
        notes=notes,
    )


def setting_line(test: SettingTest) -> str:
    """What several seeds say about a setting, in one sentence."""
    name, found = f"the setting of {', '.join(test.runs)}", test.comparison
    if found is None or test.adjusted is None:
        return f"{name} is not tested: {test.refused}"
    return (
        f"{name}: {points(found.difference)} points {interval(found.interval)}, "
        f"p {p_value(test.adjusted)} (Holm) over {len(found.seeds)} paired seeds and "
        f"{found.problems:,} problems, both random; "
        f"{noise_words(found.detectable, found.seeds_needed, len(found.seeds))}"
    )


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
    while sum(column.width + _GAP for column in kept) > width and len(kept) > 2:
        kept.remove(max(reversed(kept), key=lambda column: column.priority))
    return kept


def _with_whole_title(column: Column) -> Column:
    length = min(_LONGEST, len(column.title))
    if column.least is None or column.least >= length:
        return column
    return replace(column, least=length, width=max(column.width, length))
