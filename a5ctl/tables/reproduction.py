"""How alike a run and the run that was made again are: one sentence, and data for programs."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from a5ctl.format import count, counted
from core.registry.records import RunRecord
from core.reproduction.answers import AnswersComparison
from core.reproduction.compare import RunsComparison
from core.reproduction.curves import MetricComparison
from core.reproduction.surroundings import Difference


def verdict(found: RunsComparison) -> str:
    """What came out, in one sentence."""
    if not found.anything:
        return "nothing to compare: no metric, response or checkpoint is recorded by both"
    parts = [_curves(found), *_answers(found)]
    if found.weights is not None and not found.weights.same:
        parts.append(f"{len(found.weights.differing)} of {found.weights.tensors} tensors differ")
    head = "bitwise the same" if found.same else "not the same"
    return f"{head}: {'; '.join(part for part in parts if part)}"


def answered(answers: Sequence[AnswersComparison]) -> tuple[int, int]:
    """(responses that are the same with their verdicts, all of them)."""
    same = sum(min(part.same_texts, part.same_verdicts) for part in answers)
    return same, sum(part.n + part.missing for part in answers)


def kind_of(found: RunsComparison, what: str) -> list[AnswersComparison]:
    """Those that are evaluations, or rollouts."""
    return [part for part in found.answers if part.what == what]


def comparison_json(found: RunsComparison) -> dict[str, Any]:
    """The comparison for programs."""
    return {
        "run": found.recorded.id,
        "again": found.again.id,
        "same": found.same,
        "verdict": verdict(found),
        "steps": found.steps,
        "of_steps": found.of,
        "metrics": [_metric(metric) for metric in found.metrics],
        "not_compared": list(found.not_compared),
        "answers": [asdict(part) | {"same": part.same} for part in found.answers],
        "weights": None
        if found.weights is None
        else asdict(found.weights) | {"same": found.weights.same},
        "remarks": list(found.notes),
    }


def _metric(metric: MetricComparison) -> dict[str, Any]:
    """JSON has no values that are not finite; they become texts."""
    fields = asdict(metric) | {"same": metric.same}
    loose = ("recorded", "again")
    texts = {k: str(fields[k]) for k in loose if not math.isfinite(fields[k] or 0.0)}
    return fields | texts


def differences_json(
    run: RunRecord, found: Sequence[Difference], obstacle: str | None, notes: Sequence[str]
) -> dict[str, Any]:
    """What is not as it was, for programs."""
    return {
        "run": run.id,
        "unchanged": not found and obstacle is None,
        "differences": [asdict(difference) for difference in found],
        "obstacle": obstacle,
        "notes": list(notes),
    }


def _curves(found: RunsComparison) -> str:
    differing = [metric for metric in found.metrics if not metric.same]
    if not found.metrics:
        return ""
    metrics = counted(len(found.metrics), "metric")
    if not differing:
        return f"{counted(found.steps, 'step')}, {metrics}"
    first = min(metric.first for metric in differing if metric.first is not None)
    return f"{len(differing)} of {metrics} differ from step {first} on"


def _answers(found: RunsComparison) -> list[str]:
    said = []
    for what, noun in (("evaluation", "responses"), ("rollouts", "rollouts")):
        parts = kind_of(found, what)
        if parts:
            same, every = answered(parts)
            said.append(f"{count(same)}/{count(every)} {noun} the same")
    return said
