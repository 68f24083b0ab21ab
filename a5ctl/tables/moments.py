"""Which moment of a run a table shows: its end, its best evaluation, a step, or equal tokens."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from a5ctl.format import compact
from a5ctl.tables.carried import Carried
from core.errors import UserError
from core.registry.records import EvaluationRecord, RunRecord
from core.registry.store import Registry

_TOKENS = "tokens_total"


class Moment(StrEnum):
    """How the evaluation that stands for a run is chosen."""

    LAST = "last"
    BEST = "best"
    STEP = "step"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class At:
    """A moment; `step` for `Moment.STEP` alone."""

    moment: Moment = Moment.LAST
    step: int | None = None

    def __str__(self) -> str:
        return str(self.step) if self.moment is Moment.STEP else self.moment.value


@dataclass(frozen=True, slots=True)
class Chosen:
    """The evaluation that stands for each run.

    Attributes:
        evaluations: By uuid of the run.
        left_out: Why a run has none, by uuid.
        on_test: Runs whose own accuracies on a test split chose.
        budget: Training tokens within which all were looked at.
        limited_by: Id of the run that did not get any further.
    """

    evaluations: Mapping[str, EvaluationRecord]
    left_out: Mapping[str, str]
    on_test: frozenset[str] = frozenset()
    budget: float | None = None
    limited_by: str = ""

    @property
    def note(self) -> str | None:
        """What a table has to say about a budget."""
        if self.budget is None:
            return None
        return (
            f"at {compact(self.budget)} training tokens, as far as all runs got ({self.limited_by} "
            "did not get any further): each run's last evaluation within them"
        )


def parse_at(text: str) -> At:
    """The moment that `--at` means.

    Raises:
        UserError: it is neither a word for one nor a step.
    """
    if text.isascii() and text.isdigit():
        return At(Moment.STEP, int(text))
    words = [moment.value for moment in Moment if moment is not Moment.STEP]
    if text not in words:
        raise UserError(
            f"--at {text!r} is unknown; choose {', '.join(words)}, or a step such as 48"
        )
    return At(Moment(text))


def choose(
    registry: Registry,
    runs: Sequence[RunRecord],
    at: At,
    grader: str | None,
    carried: Mapping[str, Carried],
) -> Chosen:
    """Choose the evaluation of every run.

    Args:
        registry: Where they are.
        runs: The runs.
        at: Which moment.
        grader: What accuracy means for the best one; each evaluation's own grader when None.
        carried: What runs took over from those they began with, where that counts.
    """
    uuids = [run.uuid for run in runs]
    if at.moment is Moment.LAST:
        found = registry.last_evaluations(uuids)
        return Chosen(found, {uuid: "has no evaluation yet" for uuid in uuids if uuid not in found})
    every: dict[str, list[EvaluationRecord]] = defaultdict(list)
    for evaluation in registry.evaluations(uuids):
        every[evaluation.run_uuid].append(evaluation)
    alike = {uuid: _alike(own) for uuid, own in every.items()}
    match at.moment:
        case Moment.BEST:
            chosen = _best(alike, grader)
        case Moment.STEP:
            chosen = _at_step(alike, at.step or 0)
        case _:
            chosen = _within_budget(registry, runs, alike, carried)
    nothing = {uuid: "has no evaluation yet" for uuid in uuids if uuid not in every}
    return Chosen(
        chosen.evaluations,
        {**chosen.left_out, **nothing},
        chosen.on_test,
        chosen.budget,
        chosen.limited_by,
    )


def _alike(own: Sequence[EvaluationRecord]) -> list[EvaluationRecord]:
    """Those that ask what the last one asks, and those of the development split."""
    last = own[-1]
    return [e for e in own if e.split == "dev" or _asks(e) == _asks(last)]


def _asks(evaluation: EvaluationRecord) -> tuple[str, str]:
    return evaluation.split, evaluation.generation


def _accuracy(evaluation: EvaluationRecord, grader: str | None) -> float:
    if grader is None:
        return evaluation.accuracy
    return evaluation.accuracy_by_grader.get(grader, -1.0)


def _best(alike: Mapping[str, Sequence[EvaluationRecord]], grader: str | None) -> Chosen:
    """By the development split where a run was evaluated there; of equal ones the later."""
    found, on_test = {}, set()
    for uuid, own in alike.items():
        dev = [e for e in own if e.split == "dev"]
        best = max(dev or own, key=lambda e: (_accuracy(e, grader), e.step))
        asked = [e for e in own if e.split != "dev" and e.step == best.step]
        found[uuid] = asked[-1] if dev and asked else best
        if best.split.startswith("test") and len(own) > 1:
            on_test.add(uuid)
    return Chosen(found, {}, frozenset(on_test))


def _at_step(alike: Mapping[str, Sequence[EvaluationRecord]], step: int) -> Chosen:
    found, left_out = {}, {}
    for uuid, own in alike.items():
        asked = [e for e in own if e.step == step]
        if asked:
            found[uuid] = asked[-1]
            continue
        steps = sorted({e.step for e in own}, key=lambda other: (abs(other - step), other))
        near = " and ".join(map(str, sorted(steps[:2])))
        left_out[uuid] = f"has no evaluation at step {step} (the nearest: {near})"
    return Chosen(found, left_out)


def _within_budget(
    registry: Registry,
    runs: Sequence[RunRecord],
    alike: Mapping[str, Sequence[EvaluationRecord]],
    carried: Mapping[str, Carried],
) -> Chosen:
    summaries = registry.metric_summaries(list(alike), [_TOKENS])
    before = {uuid: carried[uuid].tokens if uuid in carried else 0.0 for uuid in alike}
    reached = {
        uuid: before[uuid] + found[_TOKENS].last
        for uuid, found in summaries.items()
        if _TOKENS in found
    }
    if not reached:
        raise UserError(
            f"--at budget: none of these runs has recorded {_TOKENS}; choose last, best or a step"
        )
    last = min(reached, key=lambda uuid: reached[uuid])
    budget = reached[last]
    moments = [(uuid, e.step) for uuid in reached for e in alike[uuid]]
    spent = registry.values_at(moments, _TOKENS)
    found, left_out = {}, {}
    for uuid, own in alike.items():
        within = [
            e
            for e in own
            if uuid not in reached or before[uuid] + _tokens(spent, uuid, e.step) <= budget
        ]
        if within:
            found[uuid] = within[-1]
        else:
            left_out[uuid] = f"has no evaluation within {compact(budget)} training tokens"
    ids = {run.uuid: run.id for run in runs}
    return Chosen(found, left_out, budget=budget, limited_by=ids[last])


def _tokens(spent: Mapping[tuple[str, int], object], uuid: str, step: int) -> float:
    return float(getattr(spent.get((uuid, step)), "value", 0.0))
