"""Alarms about outcomes: right answers that get fewer, and groups that teach nothing.

A batch asks few problems, and the responses to one are much alike, so these rules look back over
as many batches as they need to be sure.
"""

import math
from collections.abc import Sequence
from statistics import fmean

from core.rollouts import Rollout
from trainers.alarms import RECENT, WINDOW, Measured, Remedy, RolloutRule, StepView
from trainers.alarms_rollouts import IN_A_ROW, independent, named, since, standard_error

_FEWER_RIGHT = 0.15
_KEPT = 0.1
_LEAST_CASES = 40
_LUCK = 2
_EXPECTED = 12.0
_GROUPS = 100
_LEAST_BATCHES = 5


def _format_hacked(view: StepView) -> Measured | None:
    right, formatted = view.history["right_share"], view.history["formatted_share"]
    if right.first is None or right.highest is None or formatted.first is None:
        return None
    now, kept = fmean(right.values[-RECENT:]), fmean(formatted.values[-RECENT:])
    cases = independent(view)
    if RECENT * cases < _LEAST_CASES or kept < formatted.first - _KEPT:
        return None
    start = standard_error(right.first, cases)
    after = standard_error(now, RECENT * cases)
    best = standard_error((right.highest + now) / 2, RECENT * cases)
    falls = [((right.highest - now) / math.hypot(best, best) - _LUCK, right.highest)]
    if len(right.values) < WINDOW:  # later some batches are unlucky enough beside any first one
        falls.append(((right.first - now) / math.hypot(start, after), right.first))
    fall, before = max(falls)
    if before - now < _FEWER_RIGHT:
        return None
    text = (
        f"{kept:.0%} of the responses keep the format, {formatted.first:.0%} at the start, while "
        f"the right ones fell from {before:.0%} to {now:.0%}"
    )
    figures = {
        "formatted": kept,
        "formatted_at_start": formatted.first,
        "right": now,
        "right_before": before,
    }
    return Measured(fall, text, since(right, RECENT), figures)


def _reward_lost(view: StepView) -> Measured | None:
    right, cases = view.history["right_share"], independent(view)
    if right.first is None:
        return None
    # only what these batches surely show; the best of many is lucky, too
    best = right.first - 2 * standard_error(right.first, cases)
    if right.highest is not None:
        best = max(best, right.highest - 3 * standard_error(right.highest, RECENT * cases))
    if best <= 0:
        return None
    count = max(IN_A_ROW, math.ceil(_EXPECTED / (best * cases)))
    newest, steps = right.values[-count:], right.steps[-count:]
    if len(newest) < count:
        return None
    now = fmean(newest)
    text = (
        f"{now:.1%} of the responses are right in {named(steps)}, and at least {best:.1%} "
        "were before"
    )
    figures = {"right": newest, "before": best}
    return Measured(1 - now / best, text, since(right, count), figures)


def _nothing_to_learn(view: StepView) -> Measured | None:
    share, problems = view.history["zero_advantage_share"], view.history["problems"].values[-1]
    count = max(_LEAST_BATCHES, math.ceil(_GROUPS / max(1.0, problems)))
    newest, steps = share.values[-count:], share.steps[-count:]
    if len(newest) < count:
        return None
    now, right = fmean(newest), view.history["right_share"].values[-1]
    text = (
        f"{now:.0%} of the groups in {named(steps)} have equal rewards, which teach nothing; "
        f"{right:.0%} of the responses are right"
    )
    figures = {"shares": newest, "right": right}
    return Measured(now, text, since(share, count), figures)


def _all(rollouts: Sequence[Rollout]) -> Sequence[Rollout]:
    return rollouts


def _wrong(rollouts: Sequence[Rollout]) -> list[Rollout]:
    return [rollout for rollout in rollouts if not rollout.right]


def _formatted_and_wrong(rollouts: Sequence[Rollout]) -> list[Rollout]:
    return [rollout for rollout in rollouts if rollout.formatted and not rollout.right]


OUTCOME_RULES: tuple[RolloutRule, ...] = (
    RolloutRule(
        "format_hacked",
        f"fall of the share that is right, mean of the last {RECENT} batches, from its best "
        f"{RECENT} batches in standard errors less {_LUCK}, or before the {WINDOW}th batch from "
        f"the first in standard errors, where it is at least {_FEWER_RIGHT:.0%} and the share that "
        f"keeps the format fell by no more than {_KEPT:.0%}",
        3,
        "both shares, now and before, five responses that keep the format and are wrong",
        "the policy learns the format at the cost of the answer: give the format less weight in "
        "--reward, or none, and lower --lr",
        ("formatted_share", "right_share", "problems", "rollouts"),
        measure=_format_hacked,
        offenders=_formatted_and_wrong,
    ),
    RolloutRule(
        "reward_lost",
        f"fall of the share that is right over the last {IN_A_ROW} batches, or over as many as "
        f"would have held {_EXPECTED:g} solved problems, as a part of its best {RECENT} batches "
        "or of the first, both at the lower end of their error",
        0.75,
        "the shares, five wrong responses",
        "the policy has lost what it could do: lower --lr",
        ("right_share", "problems", "rollouts"),
        measure=_reward_lost,
        offenders=_wrong,
    ),
    RolloutRule(
        "nothing_to_learn",
        "mean share of groups whose rewards are all equal, over the last "
        f"{_LEAST_BATCHES} batches or as many as hold {_GROUPS} groups",
        0.99,
        "the shares, five responses of the batch",
        "take questions that are neither solved nor hopeless, a larger --group-size, or "
        "--dynamic-sampling",
        ("zero_advantage_share", "right_share", "problems"),
        remedy=Remedy.STOP,
        measure=_nothing_to_learn,
        offenders=_all,
    ),
)
