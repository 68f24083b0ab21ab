"""Accuracies of evaluations, and what several samples per problem say beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.registry.records import EvaluationRecord, Outcome
from core.registry.store import Registry
from core.responses.numerals import number_of
from core.statistics import clustered_rate, majority_vote, pass_at_k, wilson_interval


@dataclass(frozen=True, slots=True)
class Sampled:
    """What several samples per problem say.

    Attributes:
        samples: Per problem; the smallest number where they differ.
        pass_at_k: k -> mean unbiased estimate over problems; k is 1 and powers of two.
        majority: Share of problems whose most frequent answer is right.
    """

    samples: int
    pass_at_k: Mapping[int, float]
    majority: float


def accuracy_interval(
    registry: Registry, evaluation: EvaluationRecord, grader: str | None, accuracy: float
) -> tuple[float, float]:
    """95% interval of an accuracy under a grader; clustered where problems have several samples."""
    if evaluation.protocol.get("n") != 1:
        name = grader or evaluation.grader
        counts = registry.counts_by_problem(evaluation.uuid, Outcome.ACCURACY, name)
        return clustered_rate(list(counts.values())).interval
    if grader is None:
        return evaluation.interval
    return wilson_interval(round(accuracy * evaluation.n), evaluation.n)


def sampled_of(
    registry: Registry, evaluation: EvaluationRecord, grader: str | None
) -> Sampled | None:
    """What the samples of an evaluation say; None where problems have one each."""
    asked = registry.sampled_answers(evaluation.uuid, grader or evaluation.grader)
    fewest = min(map(len, asked.values()), default=0)
    if fewest < 2:
        return None
    right = {problem: sum(r for r, _ in samples) for problem, samples in asked.items()}
    wanted = [2**power for power in range(fewest.bit_length())]
    estimates = {
        k: sum(pass_at_k(len(asked[p]), right[p], k) for p in asked) / len(asked) for k in wanted
    }
    won = sum(_majority_is_right(samples) for samples in asked.values())
    return Sampled(fewest, estimates, won / len(asked))


def _majority_is_right(samples: Sequence[tuple[bool, str | None]]) -> bool:
    """Right samples agree with the truth, so with each other; equal numbers agree, too."""
    votes = [_vote(right, text) for right, text in samples]
    return majority_vote(votes) == ("right",)


def _vote(right: bool, text: str | None) -> tuple[object, ...] | None:
    if right:
        return ("right",)
    if text is None:
        return None
    number = number_of(text)
    return ("text", text.strip()) if number is None else ("number", number)
