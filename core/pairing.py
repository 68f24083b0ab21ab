"""Right and wrong responses to the same prompt, put together in pairs.

Pure functions of responses and a seed: the same responses give the same pairs.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Candidate:
    """One recorded response that may become half of a pair.

    Attributes:
        problem_id: Id of the problem.
        question: As it was asked.
        truth: The ground truth.
        prompt: The whole prompt that the response answers.
        text: The response, stop string included.
        right: What the chosen grader says.
        tokens: Length of the response.
        truncated: The token cap has cut it.
        run: Short id of the run that sampled it.
        source: `evaluation` or `rollout`.
        step: Updates behind the policy that wrote an evaluation's response, or the update that
            first learns from a rollout.
        sample: Number among the samples of its problem.
    """

    problem_id: str
    question: str
    truth: str
    prompt: str
    text: str
    right: bool
    tokens: int
    truncated: bool
    run: str
    source: str
    step: int
    sample: int


@dataclass(frozen=True, slots=True)
class PairingSettings:
    """How responses are put together.

    Attributes:
        per_problem: Pairs of one problem, at most.
        length_balance: Pair responses of similar length, and none that differ by more than this
            factor; None leaves lengths out of it.
        deduplicate: Responses with the same text count once.
        seed: Decides among equals.
    """

    per_problem: int = 4
    length_balance: float | None = None
    deduplicate: bool = True
    seed: int = 0


@dataclass(frozen=True, slots=True)
class CandidatePair:
    """A right response and a wrong one to the same prompt."""

    chosen: Candidate
    rejected: Candidate


@dataclass(frozen=True, slots=True)
class Pairing:
    """What came of the responses.

    Attributes:
        pairs: In the order in which their problems first came up.
        responses: Looked at.
        duplicates: Left out because their text was there already.
        right: Right responses, duplicates left out.
        wrong: Wrong ones.
        problems: Different prompts.
        mixed: Prompts with right and wrong responses, which alone can give pairs.
        unbalanced: Prompts of those whose responses all differ too much in length.
    """

    pairs: tuple[CandidatePair, ...]
    responses: int
    duplicates: int
    right: int
    wrong: int
    problems: int
    mixed: int
    unbalanced: int


def pair_up(candidates: Iterable[Candidate], settings: PairingSettings) -> Pairing:
    """Put right and wrong responses together, prompt by prompt.

    No response is used twice as long as an unused one of its kind would do.
    """
    groups: dict[tuple[str, str], list[Candidate]] = {}
    count = 0
    for candidate in candidates:
        count += 1
        groups.setdefault((candidate.prompt, candidate.truth), []).append(candidate)
    kept = {
        key: _without_copies(group) if settings.deduplicate else group
        for key, group in groups.items()
    }
    every = [candidate for group in kept.values() for candidate in group]
    right = sum(candidate.right for candidate in every)
    mixed = {key: group for key, group in kept.items() if len({c.right for c in group}) == 2}
    found = [list(_pairs_of(group, settings, key)) for key, group in mixed.items()]
    return Pairing(
        pairs=tuple(pair for pairs in found for pair in pairs),
        responses=count,
        duplicates=count - len(every),
        right=right,
        wrong=len(every) - right,
        problems=len(groups),
        mixed=len(mixed),
        unbalanced=sum(not pairs for pairs in found),
    )


def pair_row(pair: CandidatePair, grader: str) -> dict[str, Any]:
    """A pair as a JSON-ready line of a pair file, with where its responses come from."""
    chosen, rejected = pair.chosen, pair.rejected
    return {
        "problem_id": chosen.problem_id,
        "prompt": chosen.prompt,
        "chosen": chosen.text,
        "rejected": rejected.text,
        "question": chosen.question,
        "truth": chosen.truth,
        "grader": grader,
        "chosen_truncated": chosen.truncated,
        "rejected_truncated": rejected.truncated,
        "chosen_from": _origin(chosen),
        "rejected_from": _origin(rejected),
    }


def _without_copies(group: Sequence[Candidate]) -> list[Candidate]:
    """The first of every text."""
    return list({candidate.text: candidate for candidate in reversed(group)}.values())[::-1]


def _pairs_of(
    group: Sequence[Candidate], settings: PairingSettings, key: tuple[str, str]
) -> Iterator[CandidatePair]:
    """Pairs of one prompt: what was used least comes first, among equals the seed decides."""
    order = list(group)
    random.Random(f"pairs-{settings.seed}-{key}").shuffle(order)
    rights = [index for index, candidate in enumerate(order) if candidate.right]
    uses: Counter[int] = Counter()
    taken: set[tuple[int, int]] = set()

    def partner_of(right: int) -> int | None:
        """The least used, then (if asked for) the nearest in length of those that are left."""
        ranks = (
            (uses[wrong], distance, wrong)
            for wrong, candidate in enumerate(order)
            if not candidate.right
            and (right, wrong) not in taken
            and (distance := _distance(order[right], candidate, settings)) is not None
        )
        best = min(ranks, default=None)
        return None if best is None else best[-1]

    for _ in range(settings.per_problem):
        by_use = sorted(rights, key=lambda right: uses[right])
        found = ((right, partner_of(right)) for right in by_use)
        pair = next(((r, w) for r, w in found if w is not None), None)
        if pair is None:
            return
        taken.add(pair)
        uses.update(pair)
        yield CandidatePair(order[pair[0]], order[pair[1]])


def _distance(right: Candidate, wrong: Candidate, settings: PairingSettings) -> float | None:
    """How unlike in length they are, as far as that counts; None where it is too much."""
    if settings.length_balance is None:
        return 1.0
    ratio = _ratio(right, wrong)
    return ratio if ratio <= settings.length_balance else None


def _ratio(one: Candidate, other: Candidate) -> float:
    """How many times longer the longer one is, in tokens."""
    short, long = sorted((max(1, one.tokens), max(1, other.tokens)))
    return long / short


def _origin(candidate: Candidate) -> dict[str, Any]:
    return {
        "run": candidate.run,
        "source": candidate.source,
        "step": candidate.step,
        "sample": candidate.sample,
        "tokens": candidate.tokens,
    }
