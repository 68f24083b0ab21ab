"""`a5ctl run grpo`: learn from how a policy's responses to one question compare."""

from a5ctl.run_command import trains
from a5ctl.run_settings import (
    COURSE,
    EVALUATION,
    LABELS,
    LEARNING_RATE,
    MATERIAL,
    NUMERICS,
    PLACEMENT,
    ROLLOUTS,
    SAMPLING,
    WHILE_TRAINING,
    panel,
)


def parse_reward(text: str) -> dict[str, float]:
    """`answer=1,format=0.1` as weights by part.

    Raises:
        UserError: a part is unknown, comes twice, or has no finite weight.
    """
    import math

    from core.config.methods import RewardPart
    from core.errors import UserError

    known = ", ".join(RewardPart)
    weights: dict[str, float] = {}
    for item in text.split(","):
        name, _, value = (piece.strip() for piece in item.partition("="))
        if name not in set(RewardPart) or name in weights:
            problem = "comes twice" if name in weights else "is no part of a reward"
            raise UserError(
                f"--reward {text!r}: {name!r} {problem}; give some of {known} once each, such as "
                "answer=1,format=0.1"
            )
        try:
            weights[name] = float(value)
        except ValueError:
            weights[name] = math.nan
        if not math.isfinite(weights[name]):
            raise UserError(
                f"--reward {text!r}: {value!r} is no weight for {name}; give a number, such as "
                f"{name}=0.1"
            )
    return weights


GROUPS = panel(
    ROLLOUTS,
    ("rollout.per_question", int, "Responses to one question.", "group-size"),
    (
        "grpo.rollout_batch",
        int,
        "Responses sampled at a time; when not given 128 for builtin, else 256.",
    ),
    (
        "grpo.dynamic_sampling",
        bool,
        "Ask other questions in place of groups all right or all wrong.",
    ),
)
METHOD = panel(
    "GRPO",
    (
        "grpo.steps",
        int,
        "Rollout batches of the whole run; when not given 160 of 128 for builtin, else 200.",
    ),
    (
        "grpo.train_batch",
        int,
        "Responses per update; the rollout batch when not given, which is on-policy.",
    ),
    ("grpo.epochs_per_rollout", int, "Passes over a rollout batch."),
    ("grpo.loss", str, "{values}."),
    ("grpo.clip_low", float, "Lower clip range."),
    ("grpo.clip_high", float, "Upper clip range."),
    ("grpo.std_normalization", bool, "Divide advantages by the deviation of their group."),
    ("grpo.length_normalization", str, "sequence_mean, constant (Dr. GRPO) or token_mean (DAPO)."),
    ("grpo.kl", float, "Weight of the KL divergence from the start."),
    (
        "grpo.skip_zero_advantage",
        bool,
        "Leave out responses whose gradient is 0: the same update in less time.",
    ),
    (
        "grpo.tis_cap",
        float,
        "Weigh tokens by p(trainer) / p(engine), at most this; off when not given.",
    ),
    (
        "grpo.overlong_buffer",
        int,
        "Tokens before the cap over which the reward falls by 1; off when not given.",
    ),
    ("grpo.mask_truncated", bool, "Learn nothing from responses that the cap has cut."),
    (
        "grpo.reward",
        str,
        "Weights of answer, format, length and closed: answer=1,format=0.1.",
        None,
        None,
        parse_reward,
    ),
)


@trains(
    "grpo",
    *MATERIAL,
    *METHOD,
    *GROUPS,
    *SAMPLING,
    *LEARNING_RATE,
    *NUMERICS,
    *COURSE,
    *WHILE_TRAINING,
    PLACEMENT,
    *EVALUATION,
    *LABELS,
)
def grpo() -> None:
    """Let a model answer each question several times, and learn what made the better answers.

    Several sizes or seeds make the product of runs under one group.

    Examples:

        a5ctl run grpo --init sft-128-k3f9

        a5ctl run grpo --init sft-128-k3f9 --no-std-normalization --length-normalization constant

        a5ctl run grpo --init sft-128-k3f9 --train-batch 64 --epochs-per-rollout 2 --seed 0,1,2

        a5ctl run grpo --init sft-128-k3f9 --placement apart

        a5ctl run grpo --data path/to/gsm8k --model Qwen/Qwen2.5-Math-1.5B --precision stochastic
    """
