"""Checks of preference pairs before the first update; docs/preflight.md describes every row.

Responses are looked at as targets are in supervised fine-tuning wherever the same can go wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from core.data.filters import targets_graded_right
from core.data.pairs import PreferencePair
from core.data.problem import Problem
from trainers import preflight_data as data
from trainers import preflight_targets as targets
from trainers import preflight_tokens as tokens
from trainers.defaults import training_grader
from trainers.observer import Severity
from trainers.preflight_alignment import alignment, decode_example
from trainers.preflight_memory import memory
from trainers.preflight_report import (
    Check,
    PreflightInput,
    PreflightReport,
    Result,
    doubtful,
    fatal,
    fine,
    run_checks,
)
from trainers.tokenization import Example

_WARNING, _ERROR = Severity.WARNING, Severity.ERROR
_LARGEST_IDENTICAL_SHARE = 0.01
# responses that differ by more than this are told apart by their length alone
_UNLIKE = 1.5
_LARGEST_UNLIKE_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class PairsInput:
    """What the checks look at.

    Attributes:
        pairs: As they were read.
        every: All responses as examples: the chosen one of each pair, then its rejected one.
    """

    pairs: Sequence[PreferencePair]
    every: PreflightInput

    @property
    def chosen(self) -> PreflightInput:
        """The chosen responses alone."""
        return self._only([2 * index for index in range(len(self.pairs))])

    @property
    def rejected(self) -> PreflightInput:
        """The rejected responses alone."""
        return self._only([2 * index + 1 for index in range(len(self.pairs))])

    @property
    def ended(self) -> PreflightInput:
        """The responses that no token cap has cut."""
        cut = [c for pair in self.pairs for c in (pair.chosen_truncated, pair.rejected_truncated)]
        return self._only([index for index, was_cut in enumerate(cut) if not was_cut])

    def _only(self, indices: Sequence[int]) -> PreflightInput:
        return replace(
            self.every,
            problems=[self.every.problems[index] for index in indices],
            examples=[self.every.examples[index] for index in indices],
        )


def run_pair_preflight(given: PairsInput) -> PreflightReport:
    """Run every check of preference pairs."""
    example = decode_example(given.every.examples[0], given.every.tokenizer)
    return run_checks(given, PAIR_CHECKS, example)


def as_problems(pairs: Sequence[PreferencePair]) -> list[Problem]:
    """Every response as a problem that brings its own prompt and target: chosen, rejected, ..."""
    return [
        Problem(
            pair.id, pair.question or pair.prompt, pair.truth or "", prompt=pair.prompt, target=text
        )
        for pair in pairs
        for text in (pair.chosen, pair.rejected)
    ]


def contrast(given: PairsInput) -> Result:
    """The two responses of a pair differ, and no pair says the opposite of another."""
    pairs = given.pairs
    same = [pair.id for pair in pairs if pair.chosen == pair.rejected]
    if len(same) == len(pairs):
        return fatal(
            "chosen and rejected are the same text in every pair, so there is nothing to learn; "
            "look at how the pairs were made"
        )
    preferences = {(pair.prompt, pair.chosen, pair.rejected) for pair in pairs}
    turned = [
        pair.id
        for pair in pairs
        if pair.chosen != pair.rejected and (pair.prompt, pair.rejected, pair.chosen) in preferences
    ]
    if turned:
        return doubtful(
            f"{len(turned)} of {len(pairs):,} pairs say the opposite of another pair (first: "
            f"{turned[0]}), so that they cancel; take either out"
        )
    if same:
        return doubtful(
            f"chosen and rejected are the same text in {len(same)} of {len(pairs):,} pairs (first: "
            f"{same[0]}), which teach nothing; take them out"
        )
    copies = len(pairs) - len(preferences)
    if copies > max(1, _LARGEST_IDENTICAL_SHARE * len(pairs)):
        return doubtful(
            f"{copies} of {len(pairs):,} pairs are copies of others and count that much more; take "
            "them out"
        )
    return fine(f"chosen and rejected differ in all {len(pairs):,} pairs")


def preference(given: PairsInput) -> Result:
    """The run's own grader accepts what is chosen and refuses what is rejected."""
    known = [index for index, pair in enumerate(given.pairs) if pair.truth is not None]
    if not known:
        return fine("the pairs say no truth, so no grader can look at them")
    chosen, rejected = given.chosen, given.rejected
    problems = [chosen.problems[index] for index in known]
    grader = training_grader(chosen.config, chosen.template, problems)
    worse = [rejected.problems[index] for index in known]
    right = targets_graded_right(problems, chosen.template, grader)
    also_right = targets_graded_right(worse, chosen.template, grader)
    refused = [p.id for p, ok in zip(problems, right, strict=True) if not ok]
    if refused:
        return doubtful(
            f"the {grader} grader refuses {len(refused)} of {len(known):,} chosen responses "
            f"(first: {refused[0]}): the run will learn answers that count as wrong; make the "
            f"pairs with a5ctl pairs --grader {grader}"
        )
    accepted = [p.id for p, ok in zip(worse, also_right, strict=True) if ok]
    if accepted:
        return doubtful(
            f"the {grader} grader accepts {len(accepted)} of {len(known):,} rejected responses "
            f"(first: {accepted[0]}): the run will unlearn answers that count as right, unless "
            f"that is meant; a5ctl pairs --grader {grader} pairs by this grader"
        )
    return fine(f"the {grader} grader accepts what is chosen and refuses what is rejected")


def lengths(given: PairsInput) -> Result:
    """Length alone does not tell chosen responses from rejected ones."""
    chosen, rejected = (_lengths(side.examples) for side in (given.chosen, given.rejected))
    both = list(zip(chosen, rejected, strict=True))
    longer = sum(c > _UNLIKE * r for c, r in both) / len(both)
    shorter = sum(r > _UNLIKE * c for c, r in both) / len(both)
    text = (
        f"chosen responses have a median of {median(chosen):.0f} tokens, rejected ones of "
        f"{median(rejected):.0f}; the chosen one is over {_UNLIKE:g} times as long in "
        f"{longer:.0%} of the pairs, the rejected one in {shorter:.0%}"
    )
    if abs(longer - shorter) > _LARGEST_UNLIKE_SHARE:
        which = "longer" if longer > shorter else "shorter"
        return doubtful(
            f"{text}: responses may only become {which}; a5ctl pairs --length-balance "
            f"{_UNLIKE:g} pairs responses of similar length"
        )
    return fine(text)


def _lengths(examples: Sequence[Example]) -> list[int]:
    return [example.full_length - example.prompt_length for example in examples]


def _eos(given: PairsInput) -> Result:
    ended = given.ended
    if not ended.examples:
        return doubtful("a token cap has cut every response, so none ends with EOS")
    return tokens.eos(ended)


PAIR_CHECKS: tuple[Check[PairsInput], ...] = (
    Check(
        "supervision",
        "something besides EOS in every response",
        _ERROR,
        lambda given: tokens.supervised(given.every),
    ),
    Check(
        "alignment",
        "labels of the collated tensors against the responses",
        _ERROR,
        lambda given: alignment(given.every),
    ),
    Check("eos", "a supervised EOS behind responses that no cap has cut", _ERROR, _eos),
    Check(
        "vocabulary",
        "token ids against the rows of the embedding",
        _ERROR,
        lambda given: tokens.vocabulary(given.every),
    ),
    Check("contrast", "pairs of the same text, opposite pairs, copies", _ERROR, contrast),
    Check("preference", "what the run's own grader says of both sides", _WARNING, preference),
    Check("lengths", "how far length alone tells the sides apart", _WARNING, lengths),
    Check(
        "stop",
        "stop strings in chosen responses and in their tokens",
        _WARNING,
        lambda given: targets.stop(given.chosen),
    ),
    Check(
        "closing",
        "think blocks, answer tags and boxes that chosen responses leave open",
        _WARNING,
        lambda given: targets.closing(given.chosen),
    ),
    Check(
        "endings",
        "end marks that responses bring along",
        _WARNING,
        lambda given: tokens.endings(given.every),
    ),
    Check(
        "boundary",
        "tokens where prompt and response meet",
        _WARNING,
        lambda given: tokens.boundary(given.every),
    ),
    Check(
        "length",
        "responses longer than the maximum with their prompt",
        _WARNING,
        lambda given: tokens.length(given.every),
    ),
    Check(
        "cap",
        "chosen responses against the response cap of the evaluation",
        _WARNING,
        lambda given: tokens.cap(given.chosen),
    ),
    Check("prompt", "the form of the prompts", _WARNING, lambda g: targets.prompt(g.chosen)),
    Check(
        "leakage",
        "questions of pairs that the evaluation asks",
        _WARNING,
        lambda given: data.leakage(given.chosen),
    ),
    Check(
        "memory",
        "the estimated peak against what is available",
        _WARNING,
        lambda given: memory(given.every),
    ),
)
