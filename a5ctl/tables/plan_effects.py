"""What each axis of a plan does: every value against the first, over all else and over seeds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from a5ctl.tables.entries import judged_by, protocol_differences
from a5ctl.tables.pairs import same_problems, shares
from core.plans.cells import Cell, title
from core.plans.form import PlanForm
from core.plans.plan import Plan
from core.plans.runs import CellState, cell_runs
from core.registry.records import EvaluationRecord, Outcome
from core.registry.store import Registry
from core.statistics import (
    MIN_SEEDS,
    compare_across_seeds,
    compare_paired_shares,
    holm,
    mean_and_standard_error,
)

Labels = tuple[tuple[str, Any], ...]
_SEED = "seed"


@dataclass(frozen=True, slots=True)
class Effect:
    """One value of an axis against the axis' first one.

    Attributes:
        axis: The settings that move, or `group`.
        value: Labels of the value, `baseline` those of the first one.
        seeds: Seeds that count, each with the same contexts.
        contexts: Combinations of the other axes that both values have under all these seeds.
        difference: Value minus baseline, as a share: the mean over contexts, problems and seeds.
        interval: 95%; over seeds and problems from three seeds on, else over problems alone.
        p: That there is no difference; `adjusted` after Holm's correction over all effects.
        settings: It speaks of settings, for seeds are among what varies; else of these runs.
        refused: Why there are no figures.
    """

    axis: str
    value: Labels
    baseline: Labels
    seeds: int = 0
    contexts: int = 0
    problems: int = 0
    difference: float = 0.0
    interval: tuple[float, float] = (-1.0, 1.0)
    p: float = 1.0
    adjusted: float | None = None
    settings: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """All seeds of one combination.

    Attributes:
        finished: Of the `seeds` that the plan has.
        mean: Accuracy over the finished ones; None without any.
        standard_error: Of that mean over seeds; None below two.
        interval: Wilson's for a single seed.
    """

    name: str
    labels: Labels
    seeds: int
    finished: int
    mean: float | None
    standard_error: float | None
    interval: tuple[float, float] | None
    unclosed: float | None


@dataclass(frozen=True, slots=True)
class PlanFigures:
    """What finished cells say."""

    rows: tuple[Row, ...]
    effects: tuple[Effect, ...]
    grader: str


class _Side:
    """Evaluations of finished cells, and shares by problem, read once each."""

    def __init__(self, registry: Registry, plan: Plan, grader: str | None) -> None:
        found = cell_runs(registry, plan, plan.cells)
        runs = {
            key: each.run
            for key, each in found.items()
            if each.run is not None and each.state is CellState.FINISHED
        }
        last = registry.last_evaluations([run.uuid for run in runs.values()])
        order = {key: last[run.uuid] for key, run in runs.items() if run.uuid in last}
        judged = judged_by(registry, list(order.values()), grader)
        self.evaluations: dict[str, EvaluationRecord] = dict(zip(order, judged, strict=True))
        self.grader = grader or next((e.grader for e in judged), "r1_zero")
        self._registry = registry
        self._shares: dict[str, dict[str, float]] = {}

    def shares(self, cell_id: str) -> dict[str, float]:
        if cell_id not in self._shares:
            evaluation = self.evaluations[cell_id]
            table = shares(self._registry, evaluation, Outcome.ACCURACY, self.grader)
            self._shares[cell_id] = table
        return self._shares[cell_id]

    def accuracy(self, cell_id: str) -> float:
        evaluation = self.evaluations[cell_id]
        return evaluation.accuracy_by_grader.get(self.grader, evaluation.accuracy)

    def blocking(self, cell_ids: Sequence[str]) -> list[str]:
        first = self.evaluations[cell_ids[0]]
        return sorted(
            {
                field
                for key in cell_ids
                for field in protocol_differences(first, self.evaluations[key]).blocking
            }
        )

    def common(self, cell_ids: Sequence[str]) -> frozenset[str] | None:
        return same_problems(self._registry, [self.evaluations[key] for key in cell_ids])


def plan_figures(
    registry: Registry, plan: Plan, grader: str | None = None, *, force: bool = False
) -> PlanFigures:
    """Rows and effects of a plan.

    Args:
        registry: Where the runs are.
        plan: The plan.
        grader: Decides accuracy; the evaluations' own when None.
        force: Compare even where the protocols differ.
    """
    side = _Side(registry, plan, grader)
    drafts = [
        _effect(side, plan, axis, keys, value, values[0], force)
        for axis, keys, values in _axes(plan)
        for value in values[1:]
    ]
    tested = [effect.p for effect in drafts if not effect.refused]
    adjusted = iter(holm(tested))
    effects = (e if e.refused else replace(e, adjusted=next(adjusted)) for e in drafts)
    return PlanFigures(tuple(_rows(side, plan)), tuple(effects), side.grader)


def _axes(plan: Plan) -> list[tuple[str, tuple[str, ...], list[Labels]]]:
    """Name, labels and values of each axis, in the order of the plan."""
    found = []
    for keys in axis_keys(plan.form):
        values = [_part(cell, keys) for cell in plan.cells]
        found.append((" with ".join(keys), keys, list(dict.fromkeys(values))))
    return [axis for axis in found if len(axis[2]) > 1]


def axis_keys(form: PlanForm) -> list[tuple[str, ...]]:
    """Labels of every axis but the seeds; of settings that move together, all."""
    keys: list[tuple[str, ...]] = [("group",)] if form.groups else []
    keys += [tuple(moving) for moving in form.zip]
    return keys + [(key,) for key in form.axes]


def _effect(
    side: _Side,
    plan: Plan,
    axis: str,
    keys: tuple[str, ...],
    value: Labels,
    baseline: Labels,
    force: bool,
) -> Effect:
    empty = Effect(axis, value, baseline)
    pairs: dict[int, dict[Labels, tuple[str, str]]] = defaultdict(dict)
    own = {_rest(cell, keys): cell for cell in plan.cells if _part(cell, keys) == value}
    for base in plan.cells:
        other = own.get(_rest(base, keys))
        both = other is not None and {base.id, other.id} <= side.evaluations.keys()
        if other is not None and both and _part(base, keys) == baseline:
            pairs[base.labels[_SEED]][_context(base, keys)] = (base.id, other.id)
    contexts = set.intersection(*(set(found) for found in pairs.values())) if pairs else set()
    if not contexts:
        return replace(empty, refused="no finished pair that differs in this alone")
    chosen = {seed: [found[c] for c in sorted(contexts, key=repr)] for seed, found in pairs.items()}
    every = [key for found in chosen.values() for pair in found for key in pair]
    if (fields := side.blocking(every)) and not force:
        why = f"protocols differ in {', '.join(fields)}; --force compares anyway"
        return replace(empty, refused=why)
    return _measured(empty, side, chosen, side.common(every))


def _measured(
    effect: Effect,
    side: _Side,
    chosen: Mapping[int, Sequence[tuple[str, str]]],
    common: frozenset[str] | None,
) -> Effect:
    """Averaged over contexts within a seed, then over seeds as a sample or as they are."""
    base, own = (
        {
            seed: _mean([_kept(side.shares(pair[place]), common) for pair in pairs])
            for seed, pairs in chosen.items()
        }
        for place in (0, 1)
    )
    contexts = len(next(iter(chosen.values())))
    shared = set.intersection(*(set(table) for one in (base, own) for table in one.values()))
    if not shared:
        return replace(effect, refused="no problem was asked on both sides")
    effect = replace(effect, seeds=len(chosen), contexts=contexts, problems=len(shared))
    if len(chosen) >= MIN_SEEDS and len(shared) > 1:
        across = compare_across_seeds(base, own)
        return replace(
            effect,
            difference=across.difference,
            interval=across.interval,
            p=across.p,
            settings=True,
        )
    one = compare_paired_shares(_mean(list(base.values())), _mean(list(own.values())))
    return replace(effect, difference=one.difference, interval=one.interval, p=one.p)


def _rows(side: _Side, plan: Plan) -> Iterable[Row]:
    grouped: dict[Labels, list[Cell]] = defaultdict(list)
    for cell in plan.cells:
        grouped[_rest(cell, (_SEED,))].append(cell)
    for labels, cells in grouped.items():
        done = [side.evaluations[cell.id] for cell in cells if cell.id in side.evaluations]
        figures = [side.accuracy(cell.id) for cell in cells if cell.id in side.evaluations]
        mean, error = mean_and_standard_error(figures) if figures else (None, None)
        yield Row(
            title(dict(labels)) or plan.name,
            labels,
            len(cells),
            len(done),
            mean,
            error,
            done[0].interval if len(done) == 1 else None,
            sum(e.unclosed / e.n for e in done) / len(done) if done else None,
        )


def _part(cell: Cell, keys: tuple[str, ...]) -> Labels:
    return tuple((key, _hashable(cell.labels.get(key))) for key in keys)


def _rest(cell: Cell, keys: tuple[str, ...]) -> Labels:
    return tuple((k, _hashable(v)) for k, v in cell.labels.items() if k not in keys)


def _context(cell: Cell, keys: tuple[str, ...]) -> Labels:
    return _rest(cell, (*keys, _SEED))


def _hashable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    return tuple(sorted(value.items())) if isinstance(value, Mapping) else value


def _kept(table: dict[str, float], common: frozenset[str] | None) -> dict[str, float]:
    return table if common is None else {k: v for k, v in table.items() if k in common}


def _mean(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    shared = set.intersection(*(set(table) for table in tables))
    return {key: sum(table[key] for table in tables) / len(tables) for key in shared}
