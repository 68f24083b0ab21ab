"""The tree-structured Parzen estimator chooses the next trial (Bergstra et al. 2011), by Optuna.

Optuna keeps nothing: for every choice a study in memory gets the trials that the registry holds.
The sampler's seed follows from the number of the trial, so that a choice depends on nothing else.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from core.plans.form import Range, Search
from core.plans.plan import Plan
from core.plans.search import Ask, Point, Trial, trials, with_trials
from core.registry.store import Registry

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_ATTEMPTS = 10


def search_cells(plan: Plan, registry: Registry, ask: Ask | None = None) -> Plan:
    """The plan with the cells of the trials that have begun or can begin now.

    Raises:
        UserError: Optuna is not installed, or the plan has no search.
    """
    return with_trials(plan, trials(plan, registry, ask or asker(plan)))


def asker(plan: Plan) -> Ask:
    """Chooses points by TPE; a point that was chosen is remembered.

    Raises:
        UserError: Optuna is not installed, or the plan has no search.
    """
    search = plan.form.search
    if search is None:
        raise UserError(f"plan {plan.path} has no [search] to take ranges from; add one")
    _require()
    chosen: dict[tuple[int, int], Point] = {}

    def ask(number: int, basis: Sequence[Trial]) -> Point:
        key = (number, len(basis))
        if key not in chosen:
            chosen[key] = _ask(search, number, basis)
        return chosen[key]

    return ask


def _require() -> None:
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            "--search tpe needs optuna; install it with: pip install 'a5ctl[search]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _ask(search: Search, number: int, basis: Sequence[Trial]) -> Point:
    """A new point; where only known ones are proposed, the last of them."""
    known = [dict(trial.point) for trial in basis]
    point: Point = {}
    for attempt in range(_ATTEMPTS):
        point = _proposed(search, number + attempt * search.trials, basis)
        if dict(point) not in known:
            break
    return point


def _proposed(search: Search, salt: int, basis: Sequence[Trial]) -> Point:
    import optuna

    sampler = optuna.samplers.TPESampler(
        seed=(search.seed + salt) % 2**32, n_startup_trials=search.startup
    )
    direction = "maximize" if search.direction.upwards else "minimize"
    study = optuna.create_study(direction=direction, sampler=sampler)
    space = _distributions(search)
    for trial in basis:
        if (past := _past(trial, space)) is not None:
            study.add_trial(past)
    return study.ask(space).params


def _past(trial: Trial, space: "Mapping[str, BaseDistribution]") -> Any:
    """A trial as Optuna knows it; None where its point lies outside of the space as it is now."""
    import optuna

    state = optuna.trial.TrialState.FAIL if trial.failed else optuna.trial.TrialState.COMPLETE
    try:
        return optuna.trial.create_trial(
            state=state, value=trial.value, params=dict(trial.point), distributions=dict(space)
        )
    except ValueError:
        return None


def _distributions(search: Search) -> "dict[str, BaseDistribution]":
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    found: dict[str, BaseDistribution] = {}
    for key, values in search.space.items():
        if not isinstance(values, Range):
            found[key] = CategoricalDistribution(values)
        elif values.whole:
            found[key] = IntDistribution(int(values.low), int(values.high), log=values.log)
        else:
            found[key] = FloatDistribution(values.low, values.high, log=values.log)
    return found
