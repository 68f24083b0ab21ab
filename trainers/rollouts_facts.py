"""What a batch of rollouts looks like in a few figures, and which of them show a fault."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from core.responses.names import FailureFlag, GraderName
from core.responses.numerals import number_of
from core.responses.parse import parse_response
from core.rollouts import Rollout
from core.statistics.lengths import length_summary

Answer = Fraction | str
"""Numbers by their value, so that 7 and 7.0 are one answer."""

_SHOWN_CHARS = 160


def rollout_facts(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Metrics of the responses that an update learns from.

    All but `rollouts`, `problems`, `response_tokens`, `response_tokens_p90` and `rollout_entropy`
    are shares of the responses.

    Args:
        rollouts: In any order; usually a whole batch, groups side by side.

    Returns:
        Empty where there is no response, else:

        rollouts, problems: Responses, and different problems among them.
        right_share, formatted_share: Under the grader that decides while the policy learns.
        truncated_share: Cut by the token cap.
        response_tokens, response_tokens_p90: Mean and 90th percentile of the lengths in tokens.
        rollout_entropy: Mean of -log p over all sampled tokens in nats: as they were drawn from p,
            an unbiased estimate of the entropy of a token, also where an update learns from few.
        distinct_answers: Different answers, per response.
        top_answer_share: Responses with the most frequent answer.
        constant_share: The largest share that one wrong answer has among the responses to all
            problems but the one that gets it most often; an answer that only one problem gets
            counts as nothing, so that a common mistake is no constant.
        second_think_share: Responses with a second think block.
        template_copy_share: Responses that repeat the prompt's placeholders.
        degenerate_share: Responses that end in a loop.
    """
    if not rollouts:
        return {}
    n = len(rollouts)
    lengths = length_summary([len(rollout.response.token_ids) for rollout in rollouts])
    answers = Counter(found for rollout in rollouts if (found := given_answer(rollout)) is not None)
    return {
        "rollouts": float(n),
        "problems": float(len({rollout.response.problem_id for rollout in rollouts})),
        "right_share": _share(rollouts, lambda rollout: rollout.right),
        "formatted_share": _share(rollouts, lambda rollout: rollout.formatted),
        "truncated_share": _share(rollouts, lambda rollout: rollout.truncated),
        "response_tokens": lengths.mean,
        "response_tokens_p90": lengths.p90,
        "rollout_entropy": _entropy(rollouts),
        "distinct_answers": len(answers) / n,
        "top_answer_share": max(answers.values(), default=0) / n,
        "constant_share": constant_answer(rollouts)[1],
        "second_think_share": _share(rollouts, thinks_twice),
        "template_copy_share": _share(rollouts, copies_template),
        "degenerate_share": _share(rollouts, is_degenerate),
    }


def given_answer(rollout: Rollout) -> Answer | None:
    """What a response answers: as its grader reads it, else its last number; None without any."""
    verdicts = rollout.response.verdicts
    text = verdicts[rollout.grader].extracted
    # what the cap has cut may lack digits
    if text is None and not rollout.truncated and GraderName.LENIENT in verdicts:
        text = verdicts[GraderName.LENIENT].extracted
    if text is None:
        return None
    number = number_of(text)
    return text.strip() if number is None else number


def constant_answer(rollouts: Sequence[Rollout]) -> tuple[Answer | None, float]:
    """The wrong answer that is most common across problems, and its share.

    The share is taken outside the problem that gets the answer most often. None and 0 where no
    wrong answer is given to two problems.
    """
    sizes = Counter(rollout.response.problem_id for rollout in rollouts)
    places: defaultdict[Answer, Counter[str]] = defaultdict(Counter)
    for rollout in rollouts:
        answer = None if rollout.right else given_answer(rollout)
        if answer is not None:
            places[answer][rollout.response.problem_id] += 1
    shares = {
        answer: (found.total() - most) / (len(rollouts) - sizes[home])
        for answer, found in places.items()
        for home, most in found.most_common(1)
        if len(found) > 1
    }
    return max(shares.items(), key=lambda item: item[1], default=(None, 0.0))


def thinks_twice(rollout: Rollout) -> bool:
    """It closes two think blocks, opens two, or opens one behind the close of the first."""
    parsed = parse_response(rollout.response.text)
    opens, closes = parsed.think_opens, parsed.think_closes
    return len(opens) > 1 or len(closes) > 1 or bool(opens and closes and opens[0] > closes[0])


def copies_template(rollout: Rollout) -> bool:
    """Its reasoning or its answer is the prompt's own placeholder."""
    return FailureFlag.TEMPLATE_COPY in rollout.response.flags


def is_degenerate(rollout: Rollout) -> bool:
    """It ends in a loop, or mostly is one."""
    return FailureFlag.DEGENERATE_REPETITION in rollout.response.flags


def gives_constant_answer(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """The responses that wrongly give the answer which is most common across problems."""
    answer, _ = constant_answer(rollouts)
    if answer is None:
        return []
    return [
        rollout for rollout in rollouts if not rollout.right and given_answer(rollout) == answer
    ]


def least_likely_first(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """By the mean log-probability of a token, lowest first; empty responses last."""
    return sorted(rollouts, key=_mean_logprob)


def excerpts(rollouts: Sequence[Rollout], count: int) -> Mapping[str, str]:
    """The ends of the first responses by `problem/sample`.

    What is not printable (line breaks, escape codes, invisible marks) is written as its code, so
    that an excerpt is one harmless line.
    """
    return {
        f"{rollout.response.problem_id}/{rollout.response.sample}": _printable(
            rollout.response.text[-_SHOWN_CHARS:]
        )
        for rollout in rollouts[:count]
    }


def _share(rollouts: Sequence[Rollout], holds: Callable[[Rollout], bool]) -> float:
    return sum(map(holds, rollouts)) / len(rollouts)


def _entropy(rollouts: Sequence[Rollout]) -> float:
    values = [value for rollout in rollouts for value in rollout.engine_logprobs]
    return -math.fsum(values) / max(1, len(values))


def _mean_logprob(rollout: Rollout) -> float:
    logprobs = rollout.engine_logprobs
    return sum(logprobs) / len(logprobs) if logprobs else 0.0


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
