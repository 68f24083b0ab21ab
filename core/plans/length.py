"""How long a run of a cell will be, in updates, as far as its configuration says."""

import math
from collections.abc import Mapping
from typing import Any


def expected_updates(config: Mapping[str, Any], size: int | None) -> int | None:
    """Optimizer updates of a whole run; None where only the data can tell.

    Args:
        config: The resolved configuration as a nested dictionary.
        size: Examples that it learns from.
    """
    kind, train = config.get("kind"), config.get("train", {})
    if kind == "eval":
        return 0
    if kind == "grpo":
        grpo = config.get("grpo", {})
        rollouts, batch = grpo.get("rollout_batch", 1), grpo.get("train_batch")
        each = (1 if batch is None else rollouts // batch) * grpo.get("epochs_per_rollout", 1)
        return int(grpo.get("steps", 0)) * each or None
    if kind == "ei":
        return None
    if train.get("steps") is not None:
        return int(train["steps"])
    if train.get("epochs") is None or not train.get("batch_size") or not size:
        return None
    batches = math.ceil(size / min(size, train["batch_size"]))
    return max(1, round(train["epochs"] * batches))


def share_done(
    config: Mapping[str, Any], size: int | None, step: int | None, tokens: float | None
) -> float | None:
    """How much of a run is done, in [0, 1]; None where nothing can be said.

    Args:
        config: As for `expected_updates`.
        size: As for `expected_updates`.
        step: Updates done.
        tokens: Training tokens fed.
    """
    budget = config.get("train", {}).get("tokens")
    if budget and tokens is not None:
        return float(min(1.0, tokens / budget))
    total = expected_updates(config, size)
    if not total:
        return None
    return min(1.0, (step or 0) / total)
