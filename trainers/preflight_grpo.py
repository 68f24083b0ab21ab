"""GRPO's own checks before the first update: do batches and rewards tell responses apart?"""

from core.config.methods import LossType, RewardPart
from trainers.observer import Severity
from trainers.preflight_report import Check, PreflightInput, Result, doubtful, fatal, fine
from trainers.preflight_rollouts import ROLLOUT_CHECKS, cap_of


def _groups(given: PreflightInput) -> Result:
    """Batches are whole groups, and groups are large enough to compare within."""
    settings, size = given.config.grpo, given.config.rollout.per_question
    if settings.rollout_batch % size:
        whole = max(1, settings.rollout_batch // size) * size
        return fatal(
            f"a rollout batch of {settings.rollout_batch} is not whole groups of {size} responses; "
            f"use --rollout-batch {whole}, or another --group-size"
        )
    if size == 1 and settings.loss is not LossType.NO_BASELINE:
        divided = " divided by its deviation" if settings.std_normalization else ""
        return fatal(
            f"in groups of one response every advantage{divided} is 0, so the loss "
            f"{settings.loss} learns nothing; use --group-size 2 or more, or --loss no_baseline"
        )
    questions = settings.rollout_batch // size
    updates = settings.updates_per_rollout
    plural = "updates" if updates > 1 else "update, on-policy,"
    text = f"a batch asks {questions} questions {size} times; {updates} {plural} with each batch"
    if size == 2 and settings.std_normalization and settings.loss is not LossType.NO_BASELINE:
        return doubtful(
            f"{text}; the advantages of two responses divided by their deviation say which is "
            "better, never by how much: use --no-std-normalization, or a larger --group-size"
        )
    return fine(text)


def _supply(given: PreflightInput) -> Result:
    """There are as many questions as a batch asks, and more where batches are refilled."""
    settings, count = given.config.grpo, len(given.problems)
    wanted = max(1, settings.rollout_batch // given.config.rollout.per_question)
    remedy = "use a larger --size, or a smaller --rollout-batch"
    if count < wanted:
        return doubtful(
            f"a batch asks {wanted} questions and there are {count}, so it asks some more than "
            f"once; {remedy}"
        )
    if settings.dynamic_sampling and count == wanted:
        return doubtful(
            f"a batch asks all {count} questions, so dynamic sampling finds no others to refill it "
            f"with; {remedy}"
        )
    passes = wanted * settings.steps / count
    return fine(f"{count:,} questions, {wanted} in a batch: {passes:.3g} passes over them")


def _reward(given: PreflightInput) -> Result:
    """Right answers are rewarded, and length is not punished everywhere."""
    settings, cap = given.config.grpo, cap_of(given)
    buffer = settings.overlong_buffer
    if buffer is not None and buffer > cap:
        return fatal(
            f"an over-long buffer of {buffer} tokens under a cap of {cap} punishes every response; "
            f"use --overlong-buffer {max(1, cap // 4)}"
        )
    shown = ", ".join(f"{part} {weight:g}" for part, weight in settings.reward.items())
    if settings.reward.get(RewardPart.ANSWER, 0.0) <= 0:
        return doubtful(
            f"reward: {shown}; right answers gain nothing, so the policy learns only the rest"
        )
    return fine(f"reward: {shown}")


def _sampling(given: PreflightInput) -> Result:
    """Ratios of later updates have no edge."""
    rollout = given.config.rollout
    text = f"responses are sampled at temperature {rollout.temperature:g}, top-p {rollout.top_p:g}"
    if rollout.top_p < 1 and not given.config.grpo.on_policy:
        return doubtful(
            f"{text}: behind a batch's first update a token may lie outside of the nucleus, which "
            "makes its ratio rough; rollout.top_p=1 has no such edge"
        )
    return fine(text)


_WARNING, _ERROR = Severity.WARNING, Severity.ERROR

GRPO_CHECKS: tuple[Check[PreflightInput], ...] = (
    Check("groups", "group size and rollout batch against the loss", _ERROR, _groups),
    Check("supply", "the number of questions against what a batch asks", _WARNING, _supply),
    Check("reward", "the parts of the reward", _ERROR, _reward),
    Check("sampling", "the nucleus against the number of updates", _WARNING, _sampling),
    *ROLLOUT_CHECKS,
)
