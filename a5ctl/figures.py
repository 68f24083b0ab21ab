"""Figures of an evaluation by name, as plots and comparisons take them."""

from core.registry.records import EvaluationRecord
from core.statistics import wilson_interval

ACCURACY = "accuracy"
SHARES = ("formatted", "unclosed", "truncated", "unparseable")
TYPES = ("type1", "type2", "type3")

_Figure = tuple[float, float, float]


def figure_of(evaluation: EvaluationRecord, name: str) -> _Figure | None:
    """A figure with its 95% interval, or a range; None where there is none of this name."""
    if name == ACCURACY:
        return (evaluation.accuracy, *evaluation.interval)
    if name == "lengths":
        found = evaluation.lengths.get("response") or {}
        return (found["p50"], found["p50"], found["p90"]) if found.get("n") else None
    if name in (*TYPES, "unclosed", "truncated"):
        return _counted(getattr(evaluation, name), evaluation.n)
    if name == "formatted":
        return _counted(evaluation.type1 + evaluation.type2, evaluation.n)
    if name == "unparseable":
        return _counted(evaluation.unparseable, evaluation.numeric)
    grader = name.removeprefix(f"{ACCURACY}.")
    if grader == name or grader not in evaluation.accuracy_by_grader:
        return None
    return _counted(round(evaluation.accuracy_by_grader[grader] * evaluation.n), evaluation.n)


def _counted(hits: int, whole: int) -> _Figure | None:
    return (hits / whole, *wilson_interval(hits, whole)) if whole else None
