"""What a table says of runs whose first weights were chosen by accuracies on a test split."""

from collections.abc import Iterable

from a5ctl.format import first_of
from core.registry.records import RunRecord

_NAMED = 3


def selection_note(runs: Iterable[RunRecord]) -> str | None:
    """One sentence that names them; None where there are none."""
    ids = list(dict.fromkeys(run.id for run in runs if run.selected_on_test))
    if not ids:
        return None
    return (
        f"selected on test: {first_of(ids, _NAMED)}; accuracies on a test split chose the "
        "weights they start from, so they look better there than they are"
    )
