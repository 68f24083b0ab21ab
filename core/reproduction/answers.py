"""Two runs' responses, one by one: the same text, ended the same way, judged the same way."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core.registry.records import StoredResponse

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class AnswersComparison:
    """The responses of one evaluation, or the rollouts of one update.

    Attributes:
        what: `evaluation` or `rollouts`.
        step: Updates before the evaluation; the update that learned from the rollouts.
        split: Part of the data; None for rollouts.
        n: Responses that both runs have.
        same_texts: Of those, with the same text and the same ending.
        same_verdicts: Of those, on which every grader that both know says the same.
        missing: Responses that only one of them has.
        first: The first response that is not the same, as `problem` or `problem #sample`.
        unlike: Graders of different versions, whose verdicts are not compared.
        protocol: Fields of the evaluation protocol in which they differ.
    """

    what: str
    step: int
    split: str | None
    n: int
    same_texts: int
    same_verdicts: int
    missing: int
    first: str | None
    unlike: tuple[str, ...] = ()
    protocol: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Every response and every verdict."""
        return not self.missing and self.n == self.same_texts == self.same_verdicts


def keyed(responses: Iterable[StoredResponse]) -> dict[Key, StoredResponse]:
    """Responses by problem and sample; a problem that a batch asks twice counts twice."""
    found: dict[Key, StoredResponse] = {}
    for response in responses:
        key: Key = (response.problem_id, response.sample)
        while key in found:
            key = (*key, "again")
        found[key] = response
    return found


def compare_answers(
    what: str,
    step: int,
    split: str | None,
    recorded: Mapping[Key, StoredResponse],
    again: Mapping[Key, StoredResponse],
    protocol: tuple[str, ...] = (),
) -> AnswersComparison:
    """Compare what two runs answered to the same problems."""
    both = [key for key in recorded if key in again]
    texts = [_same_text(recorded[key], again[key]) for key in both]
    unlike: set[str] = set()
    verdicts = [_same_verdicts(recorded[key], again[key], unlike) for key in both]
    other = [key for key, *same in zip(both, texts, verdicts, strict=True) if not all(same)]
    alone = [
        *(key for key in recorded if key not in again),
        *(k for k in again if k not in recorded),
    ]
    first = next(iter([*other, *alone]), None)
    return AnswersComparison(
        what,
        step,
        split,
        n=len(both),
        same_texts=sum(texts),
        same_verdicts=sum(verdicts),
        missing=len(alone),
        first=None if first is None else _named(first),
        unlike=tuple(sorted(unlike)),
        protocol=protocol,
    )


def _same_text(one: StoredResponse, other: StoredResponse) -> bool:
    return (one.text, one.finish, one.tokens) == (other.text, other.finish, other.tokens)


def _same_verdicts(one: StoredResponse, other: StoredResponse, unlike: set[str]) -> bool:
    """A response that was graded again by a newer grader is no other response."""
    same = True
    for grader in one.grades.keys() & other.grades.keys():
        a, b = one.grades[grader], other.grades[grader]
        if a.version != b.version:
            unlike.add(grader)
        else:
            same = same and a == b
    return same


def _named(key: Key) -> str:
    problem, sample = key[:2]
    return f"{problem} #{sample}" if sample else str(problem)
