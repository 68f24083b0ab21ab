"""Which of a round's responses Expert Iteration learns from, and what they become: pure functions.

Right under the training grader, each text of a problem once, and so many to a problem at most. Of
more than that the most different ones are taken, so that one way to solve a problem does not stand
for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from core.config.methods import ExpertIterationSettings
from core.config.schema import Supervise, TrainSettings
from core.engines.base import FinishReason
from core.rollouts import Rollout, RolloutBatch
from trainers.rollouts_facts import rollout_facts
from trainers.tokenization import Example

_GRAM = 3


@dataclass(frozen=True, slots=True)
class Kept:
    """What a round learns from.

    Attributes:
        rollouts: The kept responses, in the order of the batch.
        examples: The same as training examples.
        right: Right responses, kept or not.
        solved: Problems with a right response.
        distinct: Right responses whose text no earlier one to the same problem has.
        unusable: Of those, how many cannot be learned from: too long, or nothing is supervised.
    """

    rollouts: tuple[Rollout, ...]
    examples: tuple[Example, ...]
    right: int
    solved: int
    distinct: int
    unusable: int

    @property
    def problems(self) -> int:
        """Problems that the kept responses belong to."""
        return len({rollout.response.problem_id for rollout in self.rollouts})


def keep(
    batch: RolloutBatch, settings: ExpertIterationSettings, train: TrainSettings, eos_id: int
) -> Kept:
    """Choose what a round learns from; the same batch always gives the same.

    Args:
        batch: Everything that was sampled.
        settings: How many to a problem, and whether equal texts count once.
        train: Which tokens are supervised, and how long an example may be.
        eos_id: What ends a training target.
    """
    right = _right_by_problem(batch)
    distinct = [_distinct(group) for group in right]
    candidates = distinct if settings.deduplicate else right
    chosen: list[tuple[Rollout, Example]] = []
    unusable = 0
    for group in candidates:
        pairs = [(rollout, kept_example(rollout, train, eos_id)) for rollout in group]
        usable = [pair for pair in pairs if _usable(pair[1], train)]
        unusable += len(pairs) - len(usable)
        ids = [rollout.response.token_ids for rollout, _ in usable]
        chosen += [usable[place] for place in most_different(ids, settings.max_per_problem)]
    return Kept(
        rollouts=tuple(rollout for rollout, _ in chosen),
        examples=tuple(example for _, example in chosen),
        right=sum(map(len, right)),
        solved=len(right),
        distinct=sum(map(len, distinct)),
        unusable=unusable,
    )


def kept_example(rollout: Rollout, train: TrainSettings, eos_id: int) -> Example:
    """A response as a training example: the engine's own tokens, ended as any SFT target is.

    The stop string ends a response where the policy never got to say EOS, so EOS is added behind
    it; what the policy ended itself keeps its own end; what the cap has cut gets none.

    Args:
        rollout: The response.
        train: Which tokens are supervised, and whether targets end with EOS.
        eos_id: What ends a training target.
    """
    response = rollout.response
    ids, finish = tuple(response.token_ids), response.finish
    end: tuple[int, ...] = ()
    if finish is FinishReason.EOS:
        ids, end = ids[:-1], ids[-1:]
    elif finish is FinishReason.STOP_STRING:
        end = (eos_id,)
    if not train.supervise_eos:
        end = ()
    start = _first_supervised(rollout, train.supervise)
    prompt = rollout.prompt_ids
    marks = (position >= start for position in range(len(ids)))
    token_ids = (*prompt, *ids, *end)
    return Example(
        problem_id=response.problem_id,
        token_ids=token_ids,
        supervised=(*(False for _ in prompt), *marks, *(True for _ in end)),
        prompt_length=len(prompt),
        full_length=len(token_ids),
    )


def most_different(token_ids: Sequence[Sequence[int]], count: int | None) -> list[int]:
    """Places of `count` responses that share little with each other, in ascending order.

    The first one is taken; then, again and again, the one whose likeness to its nearest taken
    neighbour is smallest, of equals the first. Likeness is the share of common runs of three
    tokens (Jaccard).

    Args:
        token_ids: The responses to one problem, without copies or with.
        count: How many; all of them when None.
    """
    if count is None or len(token_ids) <= count:
        return list(range(len(token_ids)))
    grams = [_grams(ids) for ids in token_ids]
    taken = [0]
    nearest = [_likeness(grams[0], other) for other in grams]
    while len(taken) < count:
        left = (place for place in range(len(grams)) if place not in taken)
        newest = min(left, key=lambda place: (nearest[place], place))
        taken.append(newest)
        nearest = [
            max(before, _likeness(grams[newest], other))
            for before, other in zip(nearest, grams, strict=True)
        ]
    return sorted(taken)


def round_metrics(batch: RolloutBatch, kept: Kept) -> dict[str, float]:
    """What a round's sampling brought, for its first update, beside the facts of all rollouts.

    `entropy` is the mean of -log p over all sampled tokens, in nats: as they were drawn from p at
    the rollout temperature, that is an unbiased estimate of the policy's entropy per token.
    `distinct_share` is the share of right responses that repeat no other one to their problem.
    """
    rollouts = batch.rollouts
    facts = rollout_facts(rollouts)
    metrics = {
        "solved_share": kept.solved / len({problem.id for problem in batch.problems}),
        "kept": float(len(kept.rollouts)),
        "kept_problems": float(kept.problems),
        "distinct_share": kept.distinct / kept.right,
        "entropy": facts["rollout_entropy"],
    }
    seconds = {
        "generate_seconds": batch.generate_seconds,
        "grade_seconds": batch.grade_seconds,
        "sync_seconds": batch.sync_seconds,
    }
    return facts | metrics | seconds


def _usable(example: Example, train: TrainSettings) -> bool:
    return example.full_length <= train.max_length and example.supervised_count > 0


def _right_by_problem(batch: RolloutBatch) -> list[list[Rollout]]:
    """Right responses to each problem that has any; a batch may ask a problem more than once."""
    found: dict[str, list[Rollout]] = {}
    for rollout in batch.rollouts:
        if rollout.right:
            found.setdefault(rollout.response.problem_id, []).append(rollout)
    return list(found.values())


def _distinct(group: Sequence[Rollout]) -> list[Rollout]:
    """Each text once: the first response that has it."""
    return list({rollout.response.text: rollout for rollout in reversed(group)}.values())[::-1]


def _first_supervised(rollout: Rollout, supervise: Supervise) -> int:
    """Tokens of the response before those that count; all of them where the tag never comes."""
    response = rollout.response
    if supervise is Supervise.RESPONSE:
        return 0
    closing = supervise is Supervise.CLOSING
    place = response.think_tokens if closing else response.answer_position
    return len(response.token_ids) if place is None else place


def _grams(ids: Sequence[int]) -> frozenset[tuple[int, ...]]:
    return frozenset(tuple(ids[i : i + _GRAM]) for i in range(max(1, len(ids) - _GRAM + 1)))


def _likeness(one: frozenset[tuple[int, ...]], other: frozenset[tuple[int, ...]]) -> float:
    return len(one & other) / len(one | other)
