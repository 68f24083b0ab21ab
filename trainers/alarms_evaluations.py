"""Alarms that an evaluation inside a run raises: the loss can look well while responses do not."""

import math
from collections.abc import Mapping

from trainers.alarms import EvaluationRule, EvaluationView, Measured, Remedy

_LEAST_RESPONSES = 6
_CAP_RISE = 0.1
_NOISE = 2.0


def _format_lost(view: EvaluationView) -> Measured | None:
    if not view.earlier:
        return None
    now = view.now
    before = min(view.earlier, key=lambda facts: facts.unformatted)
    rise = now.unformatted - before.unformatted
    error = math.sqrt(0.5 / max(1, now.n))  # of a difference of two shares, at most
    if rise * now.n < _LEAST_RESPONSES or now.lenient < before.lenient - _NOISE * error:
        return None
    text = (
        f"{now.unformatted:.1%} of the responses break the format, {before.unformatted:.1%} at "
        f"step {before.step}, while {now.lenient:.1%} hold the right answer ({before.lenient:.1%} "
        "then)"
    )
    figures = {
        "unformatted": now.unformatted,
        "unformatted_before": before.unformatted,
        "lenient": now.lenient,
        "lenient_before": before.lenient,
        "step_before": before.step,
    }
    return _measured(view, rise, text, figures, "unformatted")


def _format_gap(view: EvaluationView) -> Measured | None:
    now = view.now
    gap = now.lenient - now.accuracy
    if view.earlier or not view.last or gap * now.n < _LEAST_RESPONSES:
        return None
    text = (
        f"{now.unformatted:.1%} of the responses break the format: {now.lenient:.1%} hold the "
        f"right answer, and {now.accuracy:.1%} count"
    )
    figures = {
        "unformatted": now.unformatted,
        "lenient": now.lenient,
        "accuracy": now.accuracy,
    }
    return _measured(view, gap, text, figures, "unformatted")


def _one_answer(view: EvaluationView) -> Measured | None:
    now = view.now
    if now.top_answer is None or now.top_share * now.n < _LEAST_RESPONSES:
        return None
    text = (
        f"{now.top_share:.1%} of the responses give the answer {now.top_answer[:40]}, which is "
        f"right for {now.top_truth_share:.1%} of them"
    )
    figures = {
        "answer": now.top_answer[:200],
        "share": now.top_share,
        "share_right": now.top_truth_share,
    }
    return _measured(view, now.top_share - now.top_truth_share, text, figures, "top_answer")


def _into_the_cap(view: EvaluationView) -> Measured | None:
    return _capped(view) if _rose(view) else None


def _at_the_cap(view: EvaluationView) -> Measured | None:
    return _capped(view) if view.last and not _rose(view) else None


def _capped(view: EvaluationView) -> Measured | None:
    now = view.now
    if now.capped * now.n < _LEAST_RESPONSES:
        return None
    before = min((facts.capped for facts in view.earlier), default=None)
    earlier = "" if before is None else f", {before:.1%} at best before"
    text = f"{now.capped:.1%} of the responses run into the length cap{earlier}"
    figures = {"at_cap_share": now.capped, "at_cap_share_before": before}
    return _measured(view, now.capped, text, figures, "capped")


def _rose(view: EvaluationView) -> bool:
    return any(view.now.capped >= facts.capped + _CAP_RISE for facts in view.earlier)


EVALUATION_RULES: tuple[EvaluationRule, ...] = (
    EvaluationRule(
        "format_lost",
        "share of responses that break the headline grader's format, minus the lowest such share "
        "of an earlier evaluation, while no fewer hold the right answer",
        0.2,
        "both shares, both lenient accuracies, five such responses",
        "the model forgets the format, not the math: take an earlier checkpoint, train for fewer "
        "steps, or look at the format of the targets",
        ("evaluation",),
        measure=_format_lost,
    ),
    EvaluationRule(
        "format_gap",
        "lenient minus headline accuracy at the end of a run that was not evaluated before",
        0.2,
        "both accuracies, the share that breaks the format, five such responses",
        "right answers are lost to the format: a5ctl diagnose says how; evaluate on the way "
        "(--eval-every) to see whether it was lost or not yet learned",
        ("evaluation",),
        remedy=Remedy.NONE,
        measure=_format_gap,
    ),
    EvaluationRule(
        "one_answer",
        "share of responses with the most frequent answer, minus the share of problems whose truth "
        "it is",
        0.4,
        "the answer, both shares, five such responses",
        "the model has collapsed into a constant: look for repeated answers in the training data, "
        "and lower --lr or the number of epochs",
        ("evaluation",),
        measure=_one_answer,
    ),
    EvaluationRule(
        "into_the_cap",
        "share of responses that the length cap ends, where an earlier evaluation had at least "
        f"{_CAP_RISE:.0%} less",
        0.5,
        "the shares, five such responses",
        "look whether the targets end (EOS, </answer>) and are supervised to their end, and "
        "lower --lr if they are",
        ("evaluation",),
        measure=_into_the_cap,
    ),
    EvaluationRule(
        "at_the_cap",
        "share of responses that the length cap ends at the end of the run, where it was no lower "
        "before",
        0.5,
        "the shares, five such responses",
        "look whether the targets end (EOS, </answer>) and are supervised to their end; if they "
        "are, raise --max-tokens or train for longer",
        ("evaluation",),
        remedy=Remedy.NONE,
        measure=_at_the_cap,
    ),
)


def _measured(
    view: EvaluationView, value: float, text: str, figures: Mapping[str, object], fault: str
) -> Measured:
    """With the responses that show it; suspect is everything since the evaluation before."""
    shown = view.now.examples[fault]
    since = view.earlier[-1].step + 1 if view.earlier else 1
    return Measured(value, text, since, {**figures, "responses": shown}, responses=tuple(shown))
