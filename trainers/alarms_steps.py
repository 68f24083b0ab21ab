"""Alarms that the metrics of the updates raise. A later method adds its rows here.

Thresholds were frozen on forty runs of the built-in model, and then held on others:
benchmarks/watchdog_false_alarms.py.
"""

import math
from statistics import median

from trainers.alarms import TYPICAL, WINDOW, Measured, MetricHistory, Remedy, StepRule, StepView
from trainers.observer import Severity

_LEAST_USUAL_LOSS = 0.1
_CLIPPED_SHARE = 0.9
_UNCHANGED_IN_A_ROW = 3


def _not_finite(view: StepView) -> Measured | None:
    loss, norm = view.history["loss"], view.history["grad_norm"]
    bad = sum(not math.isfinite(metric.values[-1]) for metric in (loss, norm))
    text = f"loss is {loss.values[-1]} and gradient norm is {norm.values[-1]}"
    step = loss.steps[-1]
    # as words, because JSON has no such numbers
    figures = {"loss": str(loss.values[-1]), "grad_norm": str(norm.values[-1])}
    return Measured(bad, text, step, figures, worst_step=step)


def _loss_spike(view: StepView) -> Measured | None:
    usual = _usual(view.history["loss"])
    if usual is None:
        return None
    loss = view.history["loss"]
    times = loss.values[-1] / max(usual, _LEAST_USUAL_LOSS)
    text = f"loss jumped to {loss.values[-1]:.3g} from a median of {usual:.3g}"
    figures = {"loss": loss.values[-1], "usual": usual}
    return Measured(times, text, loss.steps[-1], figures, worst_step=loss.steps[-1])


def _loss_diverged(view: StepView) -> Measured | None:
    loss = view.history["loss"]
    newest = loss.values[-TYPICAL:]
    if len(newest) < TYPICAL or loss.first is None:
        return None
    started = loss.first if loss.lowest is None else min(loss.first, loss.lowest)
    above = min(newest) - started
    first, last = loss.steps[-TYPICAL], loss.steps[-1]
    text = (
        f"loss stays above where it was: at least {min(newest):.3g} in steps {first} to {last}, "
        f"and {started:.3g} before"
    )
    worst = loss.steps[loss.values.index(max(newest))]
    return Measured(above, text, first, {"losses": newest, "before": started}, worst_step=worst)


def _grad_spike(view: StepView) -> Measured | None:
    norm = view.history["grad_norm"]
    usual = _usual(norm)
    if usual is None:
        return None
    newest = norm.values[-1]
    # below the clip a jump changes nothing but the direction of one update
    times = newest / max(usual, view.settings.clip_norm)
    text = f"gradient norm jumped to {newest:.3g} from a median of {usual:.3g}"
    figures = {"grad_norm": newest, "usual": usual, "clip_norm": view.settings.clip_norm}
    return Measured(times, text, norm.steps[-1], figures, worst_step=norm.steps[-1])


def _clipped(view: StepView) -> Measured | None:
    norm, clip = view.history["grad_norm"], view.settings.clip_norm
    if len(norm.values) < WINDOW:
        return None
    share = sum(value > clip for value in norm.values) / WINDOW
    if share < _CLIPPED_SHARE:
        return None
    usual, worst = median(norm.values), max(norm.values)
    text = (
        f"{share:.0%} of the last {WINDOW} steps were clipped, with gradient norms of {usual:.3g} "
        f"(median) and up to {worst:.3g} under a clip of {clip:g}"
    )
    figures = {"share": share, "median": usual, "highest": worst, "clip_norm": clip}
    worst_step = norm.steps[norm.values.index(worst)]
    return Measured(usual / clip, text, norm.steps[0], figures, worst_step=worst_step)


def _update_swallowed(view: StepView) -> Measured | None:
    share = view.history["unchanged_share"]
    newest = share.values[-_UNCHANGED_IN_A_ROW:]
    if len(newest) < _UNCHANGED_IN_A_ROW:
        return None
    steps = share.steps[-_UNCHANGED_IN_A_ROW:]
    text = (
        f"updates leave at least {min(newest):.0%} of the parameters exactly as they were (steps "
        f"{', '.join(map(str, steps))})"
    )
    return Measured(min(newest), text, steps[0], {"shares": newest, "steps": steps})


STEP_RULES: tuple[StepRule, ...] = (
    StepRule(
        "not_finite",
        "loss or gradient norm is NaN or infinite",
        1,
        "both values, the batch",
        "lower --lr, or look at the examples of this batch",
        ("loss", "grad_norm"),
        severity=Severity.ERROR,
        measure=_not_finite,
    ),
    StepRule(
        "loss_spike",
        f"loss divided by the median of the {WINDOW} steps before (at least {_LEAST_USUAL_LOSS})",
        5,
        "loss, median, the batch",
        "look at the examples of this batch, and lower --lr if the loss stays there",
        ("loss",),
        measure=_loss_spike,
    ),
    StepRule(
        "loss_diverged",
        f"lowest loss of the last {TYPICAL} steps, minus the first loss or the lowest median of "
        f"{TYPICAL} steps, whichever is lower (nats)",
        0.5,
        f"the last {TYPICAL} losses, the batch of the highest",
        "the learning rate is far too high: lower --lr",
        ("loss",),
        measure=_loss_diverged,
    ),
    StepRule(
        "grad_spike",
        f"gradient norm divided by the median of the {WINDOW} steps before (at least the clip)",
        30,
        "norm, median, clip, the batch",
        "look at the examples of this batch, and lower --lr if it happens again",
        ("grad_norm",),
        measure=_grad_spike,
    ),
    StepRule(
        "clipped",
        f"median gradient norm of the last {WINDOW} steps divided by the clip, where at least "
        f"{_CLIPPED_SHARE:.0%} of them were clipped",
        30,
        "share, median, highest norm, the batch of the highest",
        "the clip, not --lr, sets the size of the updates: lower --lr, or raise train.clip_norm",
        ("grad_norm",),
        measure=_clipped,
    ),
    StepRule(
        "update_swallowed",
        "share of the sampled parameters that an update should move and does not, lowest of the "
        f"last {_UNCHANGED_IN_A_ROW} measurements",
        0.5,
        "the shares and their steps",
        "the rounding of the weights swallows the updates: raise --lr, or train with --precision "
        "stochastic or mixed",
        ("unchanged_share",),
        remedy=Remedy.STOP,
        measure=_update_swallowed,
    ),
)


def _usual(metric: MetricHistory) -> float | None:
    """Median of the window before the newest value; None while there is too little before it."""
    before = metric.values[:-1]
    return median(before) if len(before) >= WINDOW - 1 else None
