"""Reads a plan of experiments: from a file to cells with identities."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.config.load import assign, leaf_keys, parse_assignment, read_toml
from core.criteria.plan import plan_hash
from core.errors import UserError
from core.plans.cells import Cell, Cells, expand
from core.plans.form import Budget, Halving, PlanCriterion, PlanForm, Range, Search
from core.plans.wording import flat_settings, near, sentence
from core.secrets import mask_text

_NOT_IN_BASE = {
    "name": "runs are named by their cells",
    "group": "the group of all runs is the name of the plan",
    "seed": "list seeds at the top: seeds = [0, 1, 2]",
}
_FIELDS = {
    "": PlanForm.model_fields,
    "budget": Budget.model_fields,
    "criterion": PlanCriterion.model_fields,
    "halving": Halving.model_fields,
    "search": Search.model_fields,
    "space": Range.model_fields,
}


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


def load_plan(path: Path) -> Plan:
    """Read a plan of experiments.

    Raises:
        UserError: the file cannot be read, or one sentence that names what is wrong in it.
    """
    tree, text = _read(path)
    base = tree.get("base")
    if isinstance(base, Mapping):
        tree["base"] = _base(path, base)
    try:
        form = PlanForm.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"plan {path}: {sentence(error, _FIELDS)}") from error
    try:
        if mask_text(form.name) != form.name:
            raise UserError("its name looks like a secret, and names are kept; choose another")
        cells = Cells((), ()) if form.search is not None else expand(form)
        _check_rungs(form, cells)
    except UserError as error:
        raise UserError(f"plan {path}: {error}") from error
    return Plan(path, form, plan_hash(tree), text, cells)


def _read(path: Path) -> tuple[dict[str, Any], str]:
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text), text
    except OSError as error:
        raise UserError(f"plan {path} cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise UserError(f"plan {path} is not valid TOML: it is nested too deep") from error
    except ValueError as error:
        why = str(error).partition(";")[0]
        raise UserError(f"plan {path} is not valid TOML: {why}") from error


def _base(path: Path, base: Mapping[str, Any]) -> dict[str, Any]:
    """The settings all cells share, those of another file included."""
    given = dict(base)
    file = given.pop("config", None)
    tree: dict[str, Any] = {}
    if file is not None:
        if not isinstance(file, str):
            raise UserError(f"plan {path}: base.config is the path of a file, not {file!r}")
        tree = read_toml(path.parent / file)
    flat = {**flat_settings(tree), **flat_settings(given)}
    made: dict[str, Any] = {}
    for key, value in flat.items():
        if key in _NOT_IN_BASE and file is not None and key not in given:
            continue  # a stored configuration has them
        if key in _NOT_IN_BASE:
            raise UserError(f"plan {path}: base.{key} does not belong there; {_NOT_IN_BASE[key]}")
        if key not in leaf_keys():
            hint = near(key, leaf_keys(), "docs/cli.md")
            raise UserError(f"plan {path}: base.{key} is not a setting; {hint}")
        assign(made, key, value)
    return made


def _check_rungs(form: PlanForm, cells: Cells) -> None:
    """Every comparison needs an evaluation of every cell."""
    if form.halving is None:
        return
    for cell in cells.cells:
        every = cell.config.evaluation.every
        for step in form.halving.at:
            if not cell.config.kind.trains or every is None or step % every:
                raise UserError(
                    f"halving.at: cell {cell.title!r} is not evaluated at step {step}; set "
                    "evaluation.every to a divisor of it"
                )


def _fits(labels: Mapping[str, Any], rules: Mapping[str, Sequence[Any]]) -> bool:
    return all(
        key in labels and any(labels[key] == v or str(labels[key]) == str(v) for v in values)
        for key, values in rules.items()
    )
