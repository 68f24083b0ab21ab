"""A plan's criteria over sets of its own cells, in the form in which all criteria are judged."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from core.criteria.plan import CriteriaPlan, Criterion, LoadedPlan, RunSet
from core.errors import UserError
from core.nearest import near
from core.plans.cells import Cell, title
from core.plans.form import Selection
from core.plans.plan import Plan
from core.plans.wording import flat_settings, sentence


def criteria_of(plan: Plan) -> LoadedPlan | None:
    """The criteria with their sets; None where the plan has none.

    Raises:
        UserError: a criterion names what is no set, or the like.
    """
    if not plan.form.criterion:
        return None
    sets: dict[str, RunSet] = {}
    try:
        claims = tuple(_criterion(plan, number, sets) for number in range(len(plan.form.criterion)))
        made = CriteriaPlan(name=plan.name, note=plan.form.note, sets=sets, criterion=claims)
    except ValidationError as error:
        known = {"": CriteriaPlan.model_fields, "criterion": Criterion.model_fields}
        raise UserError(f"plan {plan.path}: {sentence(error, known)}") from error
    return LoadedPlan(made, plan.hash, plan.text)


def _criterion(plan: Plan, number: int, sets: dict[str, RunSet]) -> Criterion:
    given = plan.form.criterion[number]

    def named(selection: Selection) -> str:
        name, chosen = _selected(plan, selection, given.name)
        sets.setdefault(name, chosen)
        return name

    settings = given.model_dump(exclude={"candidates", "baseline", "at"})
    return Criterion(
        **settings,
        candidates=tuple(named(selection) for selection in given.candidates),
        baseline=named(given.baseline),
        at=flat_settings(given.at),
    )


def _selected(plan: Plan, selection: Selection, criterion: str) -> tuple[str, RunSet]:
    """A name for the set, and the set."""
    labels: Mapping[str, Any]
    if isinstance(selection, str):
        known = [*plan.form.groups, *plan.form.sets]
        if selection not in known:
            hint = near(selection, known, "[groups] and [sets]")
            raise UserError(
                f"plan {plan.path}: criterion {criterion!r} names the set {selection!r}; {hint}"
            )
        labels = {"group": selection}
        if selection in plan.form.sets:
            labels = plan.form.sets[selection]
    else:
        labels = selection
    rules = {key: _values(value) for key, value in flat_settings(labels).items()}
    name = selection if isinstance(selection, str) else title(flat_settings(labels))
    fitting = [cell for cell in plan.cells if _fits(cell, rules, plan, criterion)]
    if not fitting:
        raise UserError(f"plan {plan.path}: criterion {criterion!r}: no cell fits {name!r}")
    return name, RunSet(group=plan.name, any_tags=tuple(cell.tag for cell in fitting))


def _values(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _fits(cell: Cell, rules: Mapping[str, list[Any]], plan: Plan, criterion: str) -> bool:
    for key in rules:
        if not any(key in other.labels for other in plan.cells):
            known = sorted({label for other in plan.cells for label in other.labels})
            raise UserError(
                f"plan {plan.path}: criterion {criterion!r} selects by {key!r}, which no axis or "
                f"group varies; {near(key, known, f'what varies is {known}; docs/plans.md')}"
            )
    return all(cell.labels.get(key) in values for key, values in rules.items())
