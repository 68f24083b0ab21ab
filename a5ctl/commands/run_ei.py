"""`a5ctl run ei`: Expert Iteration, learning from one's own right responses."""

from a5ctl.run_command import trains
from a5ctl.run_settings import (
    BATCH_SIZE,
    COURSE,
    EVALUATION,
    LABELS,
    LEARNING_RATE,
    MATERIAL,
    MAX_LENGTH,
    NUMERICS,
    PLACEMENT,
    SAMPLING,
    SUPERVISE,
    WHILE_TRAINING,
    panel,
)

METHOD = panel(
    "Expert Iteration",
    ("ei.steps", int, "Rounds of sampling and tuning.", "ei-steps"),
    ("ei.questions", int, "Questions of a round."),
    ("rollout.per_question", int, "Responses to each question.", "rollouts"),
    (
        "train.epochs",
        float,
        "Passes over what a round has kept; when not given 2 for builtin, else 1.",
    ),
    ("ei.max_per_problem", int, "Right responses to a problem that are kept."),
    ("ei.deduplicate", bool, "Keep each text of a problem once.", "dedup"),
    ("ei.optimizer_reset", bool, "Forget the optimizer's moments between rounds."),
)


@trains(
    "ei",
    *MATERIAL,
    *METHOD,
    *SAMPLING,
    *LEARNING_RATE,
    BATCH_SIZE,
    SUPERVISE,
    MAX_LENGTH,
    *NUMERICS,
    *COURSE,
    *WHILE_TRAINING,
    PLACEMENT,
    *EVALUATION,
    *LABELS,
)
def ei() -> None:
    """Let a model answer, keep what is right, fine-tune on it, and do so again.

    Each round has a learning-rate schedule of its own and ends with an evaluation. What was kept
    stands in the run folder: rollouts/round-0001-kept.jsonl and so on.

    Examples:

        a5ctl run ei --init sft-128-k3f9

        a5ctl run ei --init sft-128-k3f9 --ei-steps 5 --questions 512 --rollouts 8 --seed 0,1,2

        a5ctl run ei --data path/to/gsm8k --model Qwen/Qwen2.5-Math-1.5B --rollout-temperature 0.8
    """
