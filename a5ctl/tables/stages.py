"""A line of runs stage by stage: what each of them added to the weights it started from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from a5ctl.tables.entries import judged_by, protocol_differences
from a5ctl.tables.lineage import parent_id
from a5ctl.tables.pairs import Paired, corrected, paired_test
from a5ctl.tables.samples import accuracy_interval
from a5ctl.tables.selection import selection_note
from core.errors import UserError
from core.registry.records import EvaluationRecord, RunRecord
from core.registry.store import Registry

_IN_ALL = "in all"


@dataclass(frozen=True, slots=True)
class Measured:
    """An evaluation that stands for one state of the weights.

    Attributes:
        where: The run that made it, and at which step.
        step: Updates that the stage had made.
        accuracy: Under the chosen grader.
    """

    evaluation: EvaluationRecord
    where: str
    step: int
    accuracy: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class LineStage:
    """One run of the line, or what the line began with.

    Attributes:
        name: A run's id, or the model that came first.
        run: None for what came first.
        measured: The weights that the next stage took up, or the last ones; None without any
            evaluation of them.
        against: Where the weights it started from were measured.
        change: The test against them; None where one of the two was not measured.
    """

    name: str
    run: RunRecord | None
    measured: Measured | None
    against: str = ""
    change: Paired | None = None


@dataclass(frozen=True, slots=True)
class LineComparison:
    """A line from its first weights to one run.

    Attributes:
        stages: From the first weights on.
        total: The last weights against the first; None where one of them was not measured, or
            where one stage is all there is.
        grader: What accuracy means; None where each run has its own headline grader.
        warnings: What the reader has to know.
    """

    stages: tuple[LineStage, ...]
    total: Paired | None
    grader: str | None
    warnings: tuple[str, ...]


def compare_line(
    registry: Registry, run: RunRecord, grader: str | None = None, *, force: bool = False
) -> LineComparison:
    """Follow a run back to its first weights and test every stage against what it started from.

    Args:
        registry: Where the runs are.
        run: The end of the line.
        grader: Decides accuracy; each evaluation's own headline grader when None.
        force: Test even where the protocols differ.

    Raises:
        UserError: no run of the line has an evaluation.
    """
    members = [*registry.ancestors(run)[::-1], run]
    found = _evaluations(registry, members, grader)
    first = _measured(registry, found, members[0], 0, grader)
    oldest, before = members[0], first
    name = oldest.model if oldest.parent_uuid is None else f"{parent_id(oldest)} (gone)"
    stages = [LineStage(name, None, first)]
    for number, member in enumerate(members):
        after = members[number + 1] if number + 1 < len(members) else None
        measured = _outcome(registry, found, member, after, grader)
        own = _measured(registry, found, member, 0, grader)
        start = _start(measured, before, own)
        change = _test(registry, start, measured, grader, force)
        stages.append(LineStage(member.id, member, measured, start.where if start else "", change))
        before = measured
    if not any(stage.measured for stage in stages):
        raise UserError(
            f"no run of the line of {run.id} has an evaluation"
            + (f" under {grader}" if grader else "")
            + "; a5ctl ls shows where they stand"
        )
    total = _test(registry, first, stages[-1].measured, grader, force) if members[1:] else None
    return _finished(stages, total, grader)


def _finished(
    stages: Sequence[LineStage], total: Paired | None, grader: str | None
) -> LineComparison:
    """Correct all tests together, and say what has to be said."""
    tests = {stage.name: stage.change for stage in stages if stage.change is not None}
    if total is not None:
        tests[_IN_ALL] = total
    tests = corrected(tests)
    note = selection_note(stage.run for stage in stages if stage.run is not None)
    own = {stage.measured.evaluation.grader for stage in stages if stage.measured}
    return LineComparison(
        stages=tuple(replace(stage, change=tests.get(stage.name)) for stage in stages),
        total=tests.get(_IN_ALL),
        grader=grader or (own.pop() if len(own) == 1 else None),
        warnings=(note,) if note else (),
    )


def _evaluations(
    registry: Registry, members: Sequence[RunRecord], grader: str | None
) -> dict[tuple[str, int], EvaluationRecord]:
    """The newest evaluation of every step of every run, as the chosen grader judged it."""
    every = registry.evaluations([member.uuid for member in members])
    judged = judged_by(registry, every, grader)
    usable = (e for e in judged if grader is None or grader in e.accuracy_by_grader)
    return {(e.run_uuid, e.step): e for e in sorted(usable, key=lambda e: e.time)}


def _outcome(
    registry: Registry,
    found: Mapping[tuple[str, int], EvaluationRecord],
    run: RunRecord,
    after: RunRecord | None,
    grader: str | None,
) -> Measured | None:
    """What a run handed on: its weights at the step where the next one took them up."""
    steps = [step for uuid, step in found if uuid == run.uuid]
    last = max(steps, default=None)
    if after is None:
        return None if last is None else _measured(registry, found, run, last, grader)
    taken = after.config.get("model", {}).get("run_step", last)
    handed_on = None if taken is None else _measured(registry, found, run, taken, grader)
    if handed_on is not None:
        return handed_on
    taken_up = _measured(registry, found, after, 0, grader)
    return replace(taken_up, step=taken) if taken_up and taken is not None else taken_up


def _measured(
    registry: Registry,
    found: Mapping[tuple[str, int], EvaluationRecord],
    run: RunRecord,
    step: int,
    grader: str | None,
) -> Measured | None:
    evaluation = found.get((run.uuid, step))
    if evaluation is None:
        return None
    accuracy = evaluation.accuracy if grader is None else evaluation.accuracy_by_grader[grader]
    bounds = accuracy_interval(registry, evaluation, grader, accuracy)
    return Measured(evaluation, f"{run.id} step {step}", step, accuracy, bounds)


def _start(
    outcome: Measured | None, before: Measured | None, own: Measured | None
) -> Measured | None:
    """The weights that a run started from, measured by its parent or, where that asked otherwise,
    by the run itself before its first update.
    """
    known = [measured for measured in (before, own) if measured is not None]
    if outcome is None:
        return known[0] if known else None
    for measured in known:
        if not protocol_differences(measured.evaluation, outcome.evaluation).blocking:
            return measured
    return known[0] if known else None


def _test(
    registry: Registry,
    start: Measured | None,
    outcome: Measured | None,
    grader: str | None,
    force: bool,
) -> Paired | None:
    if start is None or outcome is None or start.evaluation.uuid == outcome.evaluation.uuid:
        return None
    return paired_test(registry, start.evaluation, outcome.evaluation, grader, force)
