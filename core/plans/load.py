"""Reads a plan of experiments: from a file to cells with identities."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.config.load import assign, leaf_keys, read_toml
from core.config.older import hashed_form, plan_of_today
from core.criteria.plan import plan_hash
from core.errors import UserError
from core.given_toml import read_toml_text, tables_of
from core.nearest import near
from core.plans.cells import Cells, expand
from core.plans.criteria import criteria_of
from core.plans.form import Budget, Halving, PlanCriterion, PlanForm, Range, Search
from core.plans.plan import Plan
from core.plans.wording import flat_settings, sentence
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


def load_plan(path: Path) -> Plan:
    """Read a plan of experiments.

    Raises:
        UserError: the file cannot be read, or one sentence that names what is wrong in it.
    """
    return parse_plan(path, read_toml_text(path, f"plan {path}"))


def parse_plan(path: Path, text: str) -> Plan:
    """A plan of experiments from the text of its file.

    Args:
        path: The file; a base in a file of its own is looked for beside it.
        text: What is in it.

    Raises:
        UserError: one sentence that names what is wrong in it.
    """
    written = tables_of(text, f"plan {path}")
    tree = plan_of_today(written)
    base = tree.get("base")
    if isinstance(base, Mapping):
        tree["base"] = _base(path, base)
        written["base"] = hashed_form(tree["base"])
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
    plan = Plan(path, form, plan_hash(written), text, cells)
    criteria_of(plan)
    return plan


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
        if not cell.config.kind.trains:
            continue
        every = cell.config.evaluation.every
        for step in form.halving.at:
            if every is None or step % every:
                raise UserError(
                    f"halving.at: cell {cell.title!r} is not evaluated at step {step}; set "
                    "evaluation.every to a divisor of it"
                )
