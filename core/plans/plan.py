"""A plan with its cells, and how people name some of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from core.config.load import parse_assignment
from core.errors import UserError
from core.nearest import near
from core.plans.cells import Cell, Cells
from core.plans.form import PlanForm


@dataclass(frozen=True)
class Plan:
    """A plan with its cells.

    Attributes:
        path: The file.
        form: What is written in it, the base filled in from its own file.
        hash: 16 hex digits over the content; comments, layout and the order of keys do not count.
        text: The file.
        all: The cells, and the stages before them.
    """

    path: Path
    form: PlanForm
    hash: str
    text: str
    all: Cells

    @property
    def name(self) -> str:
        """Versions of a plan are those of one name, which is the group of its runs."""
        return self.form.name

    @property
    def cells(self) -> tuple[Cell, ...]:
        """What the plan is about; without those that they start from."""
        return self.all.cells

    @cached_property
    def by_id(self) -> dict[str, Cell]:
        """Every cell, the stages before the others first: an order to run them in."""
        return {cell.id: cell for cell in (*self.all.starts, *self.all.cells)}

    def find(self, reference: str) -> Cell:
        """The cell with this id, or whose id begins so.

        Raises:
            UserError: none or several do.
        """
        found = [cell for key, cell in self.by_id.items() if key.startswith(reference)]
        if len(found) == 1 and reference:
            return found[0]
        if found and reference:
            ids = ", ".join(cell.id for cell in found[:5])
            raise UserError(f"{reference!r} fits several cells ({ids}); give the whole id of one")
        raise UserError(
            f"plan {self.name} has no cell {reference!r}; a5ctl plan check {self.path} lists "
            f"its {len(self.by_id)}"
        )

    def select(self, wanted: Sequence[str]) -> tuple[Cell, ...]:
        """Cells by ids and by `label=value`; values of one label widen, several labels narrow.

        Args:
            wanted: Such as `1f3a9c2e`, `group=A` or `data.size=256`; all cells when empty.

        Raises:
            UserError: an id or a label is unknown, or nothing fits.
        """
        if not wanted:
            return self.cells
        ids = {self.find(text).id for text in wanted if "=" not in text}
        rules: dict[str, list[Any]] = {}
        for key, value in (parse_assignment(text) for text in wanted if "=" in text):
            rules.setdefault(self._label(key), []).append(value)
        chosen = [
            cell
            for cell in self.by_id.values()
            if cell.id in ids or (rules and _fits(cell.labels, rules))
        ]
        if not chosen:
            raise UserError(f"no cell of plan {self.name} fits {' and '.join(wanted)}")
        return tuple(chosen)

    def _label(self, key: str) -> str:
        known = list(dict.fromkeys(k for cell in self.by_id.values() for k in cell.labels))
        ends = [label for label in known if label.rsplit(".", 1)[-1] == key]
        if key in known or len(ends) == 1:
            return key if key in known else ends[0]
        raise UserError(
            f"{key!r} tells no cells of plan {self.name} apart; "
            f"{near(key, known, f'its labels are {known}; docs/plans.md')}"
        )


def _fits(labels: Mapping[str, Any], rules: Mapping[str, Sequence[Any]]) -> bool:
    return all(
        key in labels and any(labels[key] == v or str(labels[key]) == str(v) for v in values)
        for key, values in rules.items()
    )
