"""A verdict in plain words on why responses fail; every sentence is computed from the counts."""

from collections.abc import Iterator
from dataclasses import dataclass

from core.responses.advice import (
    Advice,
    Commands,
    advice_on,
    command_for,
    commands_of_run,
    without_repeats,
)
from core.responses.breakdown import FailureBreakdown, FormatState, MathState, right_last_words
from core.responses.cause_names import CauseContext, Findings, FoundCause
from core.responses.causes import LEAST_COUNT
from core.responses.names import FailureClass
from core.responses.wrong_math import WORKING

__all__ = [
    "Advice",
    "Commands",
    "Explanation",
    "NamedCause",
    "commands_of_run",
    "explain",
    "headline",
]

NOTEWORTHY_SHARE = 0.1
"""A class of failures is worth a piece of advice from this share of the failures on."""


@dataclass(frozen=True, slots=True)
class NamedCause:
    """A cause with what to try about it; None where nothing can be done from here."""

    found: FoundCause
    command: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the failures of a run come down to.

    Attributes:
        headline: The verdict in one sentence.
        sentences: The counts behind it, one fact each.
        causes: What accuses, the one behind most failures first; empty for a working model.
        advice: What to try next, most promising first.
    """

    headline: str
    sentences: tuple[str, ...]
    causes: tuple[NamedCause, ...]
    advice: tuple[Advice, ...]


def explain(
    summary: FailureBreakdown,
    findings: Findings = Findings(),  # noqa: B008
    *,
    run: str = "RUN",
    context: CauseContext = CauseContext(),  # noqa: B008
    commands: Commands | None = None,
) -> Explanation:
    """Put the failures of one evaluation into words.

    Args:
        summary: Its counts under one grader.
        findings: The causes that explain them.
        run: Id of the run, for the commands.
        context: What the causes were found with.
        commands: How to act on this evaluation; those of a run that trained when not given.
    """
    typed = commands or commands_of_run(run)
    return Explanation(
        headline=headline(summary, stop_cut_off=findings.stop_cut_off),
        sentences=tuple(_sentences(summary, findings)),
        causes=tuple(
            NamedCause(cause, command_for(cause, typed, context, boxes=findings.boxes))
            for cause in findings.causes
        ),
        advice=without_repeats(list(_advice(summary, findings, context, typed))),
    )


def headline(summary: FailureBreakdown, *, stop_cut_off: bool = False) -> str:
    """The verdict: what at least half of the failures share.

    'It fails the format, not the math' needs that many failures with the right number last, or
    recovered by a probe; responses that were cut off prove nothing about the math.
    """
    if not summary.n:
        return "There are no responses to judge."
    if not summary.failures:
        return "Nothing failed."
    if stop_cut_off:
        return "The tool cut </answer> off every response; the format cannot be judged before."
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


def _sentences(summary: FailureBreakdown, findings: Findings) -> Iterator[str]:
    wrong = summary.failures
    if not summary.n:
        return
    yield f"{wrong:,} of {summary.n:,} responses are wrong ({wrong / summary.n:.1%})."
    if not wrong:
        return
    if summary.unclosed:
        yield (
            f"{summary.unclosed:,} never complete an answer, {summary.unclosed_capped:,} of them "
            "at the length cap."
        )
    yield f"{right_last_words(summary.lenient_right)}."
    if summary.recovered:
        yield f"{summary.recovered:,} were made right by a probe."
    if not findings.causes and not findings.stop_cut_off:
        yield _acquittal(summary)


def _acquittal(summary: FailureBreakdown) -> str:
    if summary.n < LEAST_COUNT:
        return "So few responses cannot name a cause."
    if summary.accuracy >= WORKING:
        return "No cause stands out: this is what a working model leaves over."
    return "No cause reaches a tenth of all responses with 95% confidence."


def _advice(
    summary: FailureBreakdown, findings: Findings, context: CauseContext, commands: Commands
) -> Iterator[Advice]:
    if not summary.failures:
        return
    if findings.stop_cut_off and commands.restore is not None:
        yield Advice("put the stop string back that the tool cut off", commands.restore)
    for cause in findings.causes:
        yield from advice_on(cause.cause, commands, context, boxes=findings.boxes)
    timeouts = summary.by_class.get(FailureClass.GRADER_TIMEOUT, 0)
    if commands.evaluate is not None and timeouts >= max(1, NOTEWORTHY_SHARE * summary.failures):
        yield Advice(
            f"give the {timeouts:,} comparisons that timed out more time",
            f"{commands.evaluate} --set evaluation.grader_time_limit=20",
        )
    largest = _largest(summary)
    yield Advice(
        f"read responses of the largest class ({summary.by_class[largest]:,})",
        f"{commands.diagnose} --class {largest}",
    )


def _largest(summary: FailureBreakdown) -> FailureClass:
    return max(summary.by_class, key=summary.by_class.__getitem__)


def _half(summary: FailureBreakdown, count: int) -> bool:
    return 2 * count >= summary.failures
