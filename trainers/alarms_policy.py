"""Alarms about the distribution that rollouts are drawn from: how wide, how far, and whose."""

from collections.abc import Sequence
from statistics import fmean

from core.rollouts import Rollout
from trainers.alarms import RECENT, Measured, Remedy, RolloutRule, StepView
from trainers.alarms_rollouts import IN_A_ROW, named, since
from trainers.rollouts_facts import least_likely_first

_LEAST_ENTROPY = 0.01
_LEAST_RISE = 0.3
_SOLVED = 0.9
_LEAST_GAP = 1e-4
_LARGEST = 1e9
_SUDDEN = 10
_LASTING = 3
_ANOTHER_POLICY = 0.5
_CLIPPED = 8


def _entropy_exploded(view: StepView) -> Measured | None:
    entropy = view.history["rollout_entropy"]
    newest, steps = entropy.values[-IN_A_ROW:], entropy.steps[-IN_A_ROW:]
    if len(newest) < IN_A_ROW or entropy.first is None:
        return None
    if min(newest) < entropy.first + _LEAST_RISE:
        return None
    text = (
        f"the entropy of a token is at least {min(newest):.3g} nats in {named(steps)}, and was "
        f"{entropy.first:.3g} at the start"
    )
    figures = {"entropies": newest, "at_start": entropy.first}
    times = min(newest) / max(entropy.first, _LEAST_ENTROPY)
    return Measured(times, text, since(entropy, IN_A_ROW), figures)


def _entropy_collapsed(view: StepView) -> Measured | None:
    entropy, right = view.history["rollout_entropy"], view.history["right_share"]
    newest, steps = entropy.values[-RECENT:], entropy.steps[-RECENT:]
    if len(newest) < RECENT or entropy.first is None:
        return None
    solved = fmean(right.values[-RECENT:])
    # a policy that solves its problems may be sure of itself
    if entropy.first < _LEAST_ENTROPY or solved >= _SOLVED:
        return None
    now = fmean(newest)
    text = (
        f"the entropy of a token is {now:.2g} nats in {named(steps)}, and was {entropy.first:.2g} "
        f"at the start, while {solved:.0%} of the responses are right"
    )
    figures = {"entropies": newest, "at_start": entropy.first, "right": solved}
    return Measured(1 - now / entropy.first, text, since(entropy, RECENT), figures)


def _engine_gap(view: StepView) -> Measured | None:
    gap = view.history["engine_gap"]
    if gap.first is None:
        return None
    before = max(gap.first, gap.lowest or 0.0)  # the first batch may be a lucky one
    # infinite where the trainer rules out a token that the engine has drawn
    newest = min(gap.values[-1], _LARGEST)
    lasting = min(gap.values[-IN_A_ROW:]) if len(gap.values) >= IN_A_ROW else 0.0
    usual = max(before, _LEAST_GAP)
    value = max(newest / _SUDDEN / usual, lasting / _LASTING / usual, newest / _ANOTHER_POLICY)
    text = (
        f"trainer and engine differ by {gap.values[-1]:.3g} nats per token, and by {before:.3g} "
        "before: the rollouts do not come from the policy that learns from them"
    )
    figures = {"gap": newest, "before": before}
    return Measured(value, text, since(gap, 1), figures)


def _kl_high(view: StepView) -> Measured | None:
    kl = view.history["kl"]
    newest, steps = kl.values[-IN_A_ROW:], kl.steps[-IN_A_ROW:]
    if len(newest) < IN_A_ROW:
        return None
    text = (
        f"the policy is at least {min(newest):.3g} nats per token away from its reference in "
        f"{named(steps)}"
    )
    return Measured(min(newest), text, since(kl, IN_A_ROW), {"kl": newest})


def _ratios_clipped(view: StepView) -> Measured | None:
    clipped = view.history["clip_fraction"]
    newest, steps = clipped.values[-_CLIPPED:], clipped.steps[-_CLIPPED:]
    if len(newest) < _CLIPPED:
        return None
    text = f"{fmean(newest):.0%} of the tokens were clipped in {named(steps)}"
    return Measured(fmean(newest), text, since(clipped, _CLIPPED), {"clip_fractions": newest})


def _likely_first(rollouts: Sequence[Rollout]) -> list[Rollout]:
    return least_likely_first(rollouts)[::-1]


def _all(rollouts: Sequence[Rollout]) -> Sequence[Rollout]:
    return rollouts


POLICY_RULES: tuple[RolloutRule, ...] = (
    RolloutRule(
        "entropy_exploded",
        f"lowest entropy of the last {IN_A_ROW} batches, divided by that of the first, where it is "
        f"at least {_LEAST_RISE:g} nats per token above it",
        3,
        "the entropies, the five responses that the policy found least likely",
        "the policy falls apart into noise: lower --lr",
        ("rollout_entropy",),
        measure=_entropy_exploded,
        offenders=least_likely_first,
    ),
    RolloutRule(
        "entropy_collapsed",
        f"part of the first batch's entropy that is lost in the mean of the last {RECENT} batches, "
        f"where under {_SOLVED:.0%} of their responses are right",
        0.9,
        "the entropies, the share that is right, the five responses that the policy found most "
        "likely",
        "the policy tries nothing new any more: lower --lr, raise --rollout-temperature or "
        "--clip-high, or tie it to its start with --kl",
        ("rollout_entropy", "right_share"),
        measure=_entropy_collapsed,
        offenders=_likely_first,
    ),
    RolloutRule(
        "engine_gap",
        "mean difference between the log-probabilities of trainer and engine, divided by that of "
        "the first update or the lowest median of 10, whichever is larger (at least "
        f"{_LEAST_GAP:g}): a tenth of the newest value or a third of the lowest of the last "
        f"{IN_A_ROW}, whichever is larger; or the newest divided by {_ANOTHER_POLICY:g} nats",
        1,
        "the difference now and before, five responses of the batch",
        "the engine does not hold the weights that are trained (a copy went wrong or did not "
        "happen), or rounds them coarsely: start the run again with --engine hf, and compare",
        ("engine_gap",),
        remedy=Remedy.STOP,
        measure=_engine_gap,
        offenders=_all,
    ),
    RolloutRule(
        "kl_high",
        f"lowest divergence from the reference policy of the last {IN_A_ROW} updates (nats per "
        "token)",
        1,
        "the divergences, the five responses that the policy found least likely",
        "the policy runs away from its reference: lower --lr, or raise --kl",
        ("kl",),
        measure=_kl_high,
        offenders=least_likely_first,
    ),
    RolloutRule(
        "ratios_clipped",
        f"mean share of tokens whose ratio is clipped, over the last {_CLIPPED} updates",
        0.15,
        "the shares, five responses of the batch",
        "the policy moves too far between two batches of rollouts: lower --lr, or make fewer "
        "updates with each batch",
        ("clip_fraction",),
        measure=_ratios_clipped,
        offenders=_all,
    ),
)
