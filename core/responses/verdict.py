"""A verdict in plain words on why responses fail; every sentence is computed from the counts."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from core.responses.breakdown import FailureBreakdown, FormatState, MathState
from core.responses.failures import DESCRIPTIONS
from core.responses.names import FailureClass, FailureFlag

NOTEWORTHY_SHARE = 0.1
"""A cause is worth a sentence or a piece of advice from this share of the failures on."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Something to try.

    Attributes:
        text: Why, in one clause.
        command: The command that does it.
    """

    text: str
    command: str


@dataclass(frozen=True, slots=True)
class Commands:
    """How the advice on one evaluation is typed; options are appended to each.

    Attributes:
        diagnose: Shows this evaluation.
        evaluate: Evaluates the same weights again; None where they are not to be had.
        train: Trains on from them, or trains where nothing was trained; None likewise.
        more_data: Training problems are left that the run did not use.
    """

    diagnose: str
    evaluate: str | None
    train: str | None
    more_data: bool = True


def commands_of_run(run: str) -> Commands:
    """The commands for the last evaluation of a run that trained."""
    name = shlex.quote(run)
    return Commands(
        diagnose=f"a5ctl diagnose {name}",
        evaluate=f"a5ctl run eval --run {name}",
        train=f"a5ctl run sft --init {name}",
    )


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the failures of a run come down to.

    Attributes:
        headline: The verdict in one sentence.
        sentences: The counts behind it, one fact each.
        advice: What to try next, most promising first.
    """

    headline: str
    sentences: tuple[str, ...]
    advice: tuple[Advice, ...]


def explain(
    summary: FailureBreakdown,
    *,
    run: str = "RUN",
    max_tokens: int | None = None,
    commands: Commands | None = None,
) -> Explanation:
    """Put the failures of one evaluation into words.

    Args:
        summary: Its counts under one grader.
        run: Id of the run, for the commands.
        max_tokens: The length cap it was generated under, where it is known.
        commands: How to act on this evaluation; those of a run that trained when not given.
    """
    return Explanation(
        headline=headline(summary),
        sentences=tuple(_sentences(summary)),
        advice=tuple(_advice(summary, commands or commands_of_run(run), max_tokens)),
    )


def headline(summary: FailureBreakdown) -> str:
    """The verdict: what at least half of the failures share.

    'It fails the format, not the math' needs that many failures with the right number last, or
    recovered by a probe; responses that were cut off prove nothing about the math.
    """
    if not summary.n:
        return "There are no responses to judge."
    if not summary.failures:
        return "Nothing failed."
    wrong = summary.with_math(MathState.WRONG)
    if _half(summary, summary.with_math(MathState.RIGHT)):
        return "It fails the format, not the math."
    if _half(summary, summary.by_state[FormatState.OK, MathState.WRONG]):
        return "It fails the math, not the format."
    if _half(summary, wrong):
        return "It fails the math too: mending the format alone would not make most answers right."
    if _half(summary, summary.with_math(MathState.UNDETERMINED)):
        return "Most failures have no answer that could be judged; they say nothing about the math."
    return "No single cause explains half of the failures."


def _sentences(summary: FailureBreakdown) -> Iterator[str]:
    wrong = summary.failures
    if not summary.n:
        return
    yield f"{wrong} of {summary.n} responses are wrong ({_percent(wrong, summary.n)})."
    if not wrong:
        return
    if summary.unclosed:
        capped = summary.unclosed_capped
        yield f"{summary.unclosed} never complete an answer, {capped} of them at the length cap."
    yield f"{summary.lenient_right} hold the right number last."
    if summary.recovered:
        yield f"{summary.recovered} were made right by a probe."
    if summary.lenient_right:
        yield (
            f"Graded by the last number, accuracy would be {summary.accuracy_by_last_number:.1%} "
            f"instead of {summary.accuracy:.1%}."
        )
    largest = _largest(summary)
    count = summary.by_class[largest]
    yield f"The largest class is {largest} ({count} of {wrong}): {DESCRIPTIONS[largest]}."
    if _noteworthy(summary, summary.by_flag[FailureFlag.DEGENERATE_REPETITION]):
        yield f"{summary.by_flag[FailureFlag.DEGENERATE_REPETITION]} end in a loop."
    if _noteworthy(summary, summary.by_flag[FailureFlag.TEMPLATE_COPY]):
        yield f"{summary.by_flag[FailureFlag.TEMPLATE_COPY]} copy the prompt's placeholders."


def _advice(
    summary: FailureBreakdown, commands: Commands, max_tokens: int | None
) -> Iterator[Advice]:
    if not summary.failures:
        return
    if commands.train is not None and _half(summary, summary.with_math(MathState.RIGHT)):
        yield Advice("train on responses in the format", commands.train)
    if commands.evaluate is not None:
        yield from _evaluation_advice(summary, commands.evaluate, max_tokens)
    if commands.train is not None and _half(summary, summary.with_math(MathState.WRONG)):
        yield _math_advice(commands.train, commands.more_data)
    largest = _largest(summary)
    yield Advice(
        f"read the {summary.by_class[largest]} responses of the largest class",
        f"{commands.diagnose} --class {largest}",
    )


def _evaluation_advice(
    summary: FailureBreakdown, evaluate: str, max_tokens: int | None
) -> Iterator[Advice]:
    cut = summary.unclosed_capped - summary.capped_loops
    if _noteworthy(summary, cut):
        cap = str(2 * max_tokens) if max_tokens is not None else "2048"
        yield Advice(
            f"give the {cut} responses that were cut without looping more room",
            f"{evaluate} --max-tokens {cap}",
        )
    timeouts = summary.by_class.get(FailureClass.GRADER_TIMEOUT, 0)
    if _noteworthy(summary, timeouts):
        yield Advice(
            f"give the {timeouts} comparisons that timed out more time",
            f"{evaluate} --set evaluation.grader_time_limit=20",
        )


def _math_advice(train: str, more_data: bool) -> Advice:
    if more_data:
        return Advice("train on more problems; the math is what is missing", f"{train} --size full")
    return Advice("train longer; the math is what is missing, and all problems were used", train)


def _largest(summary: FailureBreakdown) -> FailureClass:
    return max(summary.by_class, key=summary.by_class.__getitem__)


def _half(summary: FailureBreakdown, count: int) -> bool:
    return 2 * count >= summary.failures


def _noteworthy(summary: FailureBreakdown, count: int) -> bool:
    return count > 0 and count >= NOTEWORTHY_SHARE * summary.failures


def _percent(count: int, n: int) -> str:
    return f"{count / n:.1%}"
