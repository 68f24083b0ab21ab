"""`a5ctl run dpo`: learn from pairs of responses which of them to prefer."""

from pathlib import Path

from a5ctl.run_command import trains
from a5ctl.run_settings import (
    BATCH_SIZE,
    COMMON,
    COURSE,
    EPOCHS,
    EVALUATION,
    LABELS,
    LEARNING_RATE,
    MATERIAL,
    MAX_LENGTH,
    NUMERICS,
    PLACEMENT,
    STEPS,
    TOKENS,
    WHILE_TRAINING,
    panel,
)

PAIRS = panel(
    COMMON,
    (
        "dpo.pairs",
        Path,
        "File of pairs, one JSON object a line: prompt, chosen, rejected. a5ctl pairs writes one.",
        None,
        None,
        str,
    ),
)
METHOD = panel(
    "DPO",
    (
        "dpo.beta",
        float,
        "Strength of the tie to the reference; when not given 1 for builtin, else 0.1.",
    ),
    ("dpo.loss", str, "{values}."),
    ("dpo.label_smoothing", float, "Share of pairs taken to be labelled the wrong way round."),
)


@trains(
    "dpo",
    *PAIRS,
    *MATERIAL,
    *METHOD,
    *LEARNING_RATE,
    EPOCHS,
    STEPS,
    TOKENS,
    BATCH_SIZE,
    MAX_LENGTH,
    *NUMERICS,
    *COURSE,
    *WHILE_TRAINING,
    PLACEMENT,
    *EVALUATION,
    *LABELS,
    size="Pairs to use",
)
def dpo() -> None:
    """Learn from pairs of responses which of them to prefer (DPO, IPO), and evaluate.

    The reference is the policy that the run starts from. Its log-probabilities are computed once.

    Examples:

        a5ctl pairs eval-m2x7 --out pairs.jsonl

        a5ctl run dpo --init sft-128-k3f9 --pairs pairs.jsonl

        a5ctl run dpo --init sft-128-k3f9 --pairs pairs.jsonl --beta 0.05 --loss ipo --seed 0,1,2
    """
