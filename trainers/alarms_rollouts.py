"""Alarms that the policy's own responses raise while it learns from them.

The first batch comes from the initial policy, so it says what a run began with; a fault that was
there at the beginning is not the run's doing. A batch of few problems says little, so rules about
what is right look back over as many batches as they need to be sure. Thresholds were settled on
runs that fail, and on made-up courses whose groups are much alike; benchmarks/watchdog_rollouts.py
runs failing and healthy ones, and says how far each was from an alarm.
"""

import math
from collections.abc import Callable, Sequence

from core.rollouts import Rollout
from trainers.alarms import RECENT, WINDOW, Measured, MetricHistory, RolloutRule, StepView
from trainers.rollouts_facts import copies_template, gives_constant_answer, thinks_twice

IN_A_ROW = 3
"""Values in a row that must all show a fault."""
_ALIKE = 0.7


def since(metric: MetricHistory, count: int) -> int:
    """First update that may have caused what the newest `count` values show.

    They come from policies of before their own updates, the first of them from what the update
    of the value before has left.
    """
    if len(metric.steps) > count:
        return metric.steps[-count - 1]
    return metric.steps[0] if len(metric.steps) == WINDOW else 1


def independent(view: StepView) -> float:
    """Independent cases that the newest batch counts for, at least one.

    Siblings are alike: whether they are right correlates by 0.25 to 0.35 on the built-in model, and
    by more where a model solves some problems always and others never. With a correlation of c each
    of m siblings counts as 1 / (1 + (m - 1) c) (Kish's design effect).
    """
    rollouts, problems = (view.history[name].values[-1] for name in ("rollouts", "problems"))
    siblings = rollouts / max(1.0, problems)
    return max(1.0, rollouts / (1 + _ALIKE * (siblings - 1)))


def standard_error(share: float, count: float) -> float:
    """Of a share of `count` independent cases.

    One case for and one against count beside them, so that 0 and 1 are not exact.
    """
    smoothed = (share * count + 1) / (count + 2)
    return math.sqrt(smoothed * (1 - smoothed) / max(1.0, count))


def named(steps: Sequence[int]) -> str:
    """`steps 3 to 9`."""
    return f"steps {steps[0]} to {steps[-1]}"


def _share_rises(name: str, what: str) -> Callable[[StepView], Measured | None]:
    """How far the lowest of the newest shares is above what the run began with or fell to.

    That one is taken two standard errors higher, because it may be of one small batch.
    """

    def measure(view: StepView) -> Measured | None:
        metric = view.history[name]
        newest, steps = metric.values[-IN_A_ROW:], metric.steps[-IN_A_ROW:]
        if len(newest) < IN_A_ROW or metric.first is None:
            return None
        before = metric.first if metric.lowest is None else min(metric.first, metric.lowest)
        error = standard_error(before, view.history["rollouts"].values[-1])
        text = (
            f"at least {min(newest):.0%} of the responses {what} in {named(steps)}, and "
            f"{before:.0%} before"
        )
        figures = {"shares": newest, "before": before}
        rise = min(newest) - before - 2 * error
        return Measured(rise, text, since(metric, IN_A_ROW), figures)

    return measure


def _format_lost(view: StepView) -> Measured | None:
    metric = view.history["formatted_share"]
    newest, steps = metric.values[-IN_A_ROW:], metric.steps[-IN_A_ROW:]
    if len(newest) < IN_A_ROW or metric.first is None:
        return None
    before = metric.first if metric.highest is None else max(metric.first, metric.highest)
    error = standard_error(before, view.history["rollouts"].values[-1])
    text = (
        f"at most {max(newest):.0%} of the responses keep the format in {named(steps)}, and "
        f"{before:.0%} did before"
    )
    figures = {"shares": newest, "before": before}
    fall = before - 2 * error - max(newest)
    return Measured(fall, text, since(metric, IN_A_ROW), figures)


def _unformatted(rollouts: Sequence[Rollout]) -> list[Rollout]:
    return [rollout for rollout in rollouts if not rollout.formatted]


def _those(holds: Callable[[Rollout], bool]) -> Callable[[Sequence[Rollout]], list[Rollout]]:
    return lambda rollouts: [rollout for rollout in rollouts if holds(rollout)]


_ROSE = (
    f"lowest of the last {IN_A_ROW} batches, minus the share at the start or the lowest since (and "
    "two standard errors)"
)

ROLLOUT_RULES: tuple[RolloutRule, ...] = (
    RolloutRule(
        "constant_answer",
        "share of the rollouts that give one wrong answer to different problems "
        f"(constant_share): {_ROSE}",
        0.3,
        "the shares, five such responses",
        "the reward pays for something else than the answer: look at its parts, give the answer "
        "the most weight, and lower --lr",
        ("constant_share", "rollouts"),
        measure=_share_rises("constant_share", "wrongly give one answer to different problems"),
        offenders=gives_constant_answer,
    ),
    RolloutRule(
        "rollout_format_lost",
        f"share of the rollouts that keep the format: its start or its best {RECENT} batches, "
        f"whichever is higher (less two standard errors), minus the highest of the last {IN_A_ROW} "
        "batches",
        0.3,
        "the shares, five responses that break the format",
        "the policy unlearns the format: lower --lr, or give the format a weight in --reward",
        ("formatted_share", "rollouts"),
        measure=_format_lost,
        offenders=_unformatted,
    ),
    RolloutRule(
        "template_copied",
        f"share of the rollouts that repeat the prompt's placeholders: {_ROSE}",
        0.2,
        "the shares, five such responses",
        "the reward accepts the prompt's own words: look at the parts of the reward and the "
        "grader (strict refuses placeholders)",
        ("template_copy_share", "rollouts"),
        measure=_share_rises("template_copy_share", "repeat the prompt's placeholders"),
        offenders=_those(copies_template),
    ),
    RolloutRule(
        "second_think",
        f"share of the rollouts with a second think block: {_ROSE}",
        0.1,
        "the shares, five such responses",
        "the grader accepts a second try: train with --train-grader strict, and stop at </answer>",
        ("second_think_share", "rollouts"),
        measure=_share_rises("second_think_share", "have a second think block"),
        offenders=_those(thinks_twice),
    ),
    RolloutRule(
        "drift_into_cap",
        f"share of the rollouts that the token cap cuts: {_ROSE}",
        0.2,
        "the shares, five such responses",
        "responses grow until they are cut: lower --lr where they only repeat themselves, take "
        "away what pays for length, shape the reward near the cap (--overlong-buffer), or raise "
        "the cap if the reasoning needs it",
        ("truncated_share", "rollouts"),
        measure=_share_rises("truncated_share", "are cut by the token cap"),
        offenders=_those(lambda rollout: rollout.truncated),
    ),
)
