"""What a reader of a comparison has to know before its figures."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from a5ctl.tables.by import mixed_words
from a5ctl.tables.comparison_cell import Cell
from a5ctl.tables.entries import Entry, protocol_differences
from a5ctl.tables.moments import Chosen
from a5ctl.tables.selection import selection_note
from a5ctl.tables.settings import short_name, value_text
from core.protocol import ProtocolDifference

_MIXED_NAMED = 2


def left_out_warnings(left_out: Mapping[str, str]) -> list[str]:
    """Runs that are not in the table, by why."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for run, why in left_out.items():
        by_reason[why].append(run)
    return [
        f"{runs[0]} {why} and is left out"
        if len(runs) == 1
        else f"{_some(runs)} {why.replace('has', 'have', 1)} and are left out"
        for why, runs in by_reason.items()
    ]


def protocol_warnings(entries: Sequence[Entry]) -> list[str]:
    """In what the questions differ that the runs were asked."""
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


def selection_warnings(entries: Sequence[Entry]) -> list[str]:
    """What accuracies on a test split have chosen: first weights, or the evaluation shown."""
    note = selection_note(entry.run for entry in entries)
    chosen = [entry.run.id for entry in entries if entry.best_on_test]
    notes = [note] if note else []
    if chosen:
        notes.append(
            f"selected on test: {_some(chosen)}; the best of each run's evaluations on a test "
            "split is shown (†), so they look better there than they are"
        )
    return notes


def moment_warnings(chosen: Chosen, entries: Sequence[Entry]) -> list[str]:
    """Up to where runs are compared, and what is missing of those they began with."""
    notes = [chosen.note] if chosen.note else []
    gone = [e.run.id for e in entries if e.carried is not None and e.carried.gone]
    if gone:
        notes.append(
            f"{_some(gone)} began with a run that the registry no longer has; its part "
            "is not counted"
        )
    return notes


def mixed_warnings(cells: Sequence[Cell]) -> list[str]:
    """Rows whose runs differ in more than their seed, with the runs; the first ones by name."""
    mixed = [cell for cell in cells if cell.mixed]
    notes = []
    for cell in mixed[:_MIXED_NAMED]:
        ids = [entry.run.id for entry in cell.entries]
        notes.append(
            f"the row {_row_name(cell)} mixes runs that differ in {mixed_words(cell.mixed)}: "
            f"{_some(ids)}; no interval is given, and --by can take these settings, too"
        )
    if rest := mixed[_MIXED_NAMED:]:
        settings = list(dict.fromkeys(key for cell in rest for key in cell.mixed))
        notes.append(
            f"{len(rest)} more rows mix runs that differ in {_some(settings)}; "
            "the run column counts them as runs, not seeds, and --json names them"
        )
    return notes


def _row_name(cell: Cell) -> str:
    return ", ".join(
        f"{short_name(key, cell.settings)} {value_text(key, value)}"
        for key, value in cell.settings.items()
    )


def _consequence(reference: str, other: str, blocking: tuple[str, ...]) -> str:
    if blocking == ("grader_version",):
        return "; a5ctl regrade RUN judges the older ones by the version of today"
    return (
        "; these accuracies answer different questions, "
        f"a5ctl protocol diff {reference} {other} shows the values"
    )


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids) if len(ids) <= 3 else f"{ids[0]} and {len(ids) - 1} more"
