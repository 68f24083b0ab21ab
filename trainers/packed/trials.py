"""What trials at the start of a run share: made-up examples, and the precision of a pass."""

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class TrialTokens:
    """An example as `trainers.packed.row` asks for it."""

    problem_id: str
    token_ids: tuple[int, ...]
    supervised: tuple[bool, ...]


def trial_tokens(length: int, start: int, vocabulary: int) -> TrialTokens:
    """Tokens that differ from example to example and from place to place, all supervised."""
    ids = tuple((start + 7 * place) % vocabulary for place in range(length))
    return TrialTokens("trial", ids, (True,) * length)


def trial_autocast(model: Any, compute_dtype: torch.dtype) -> torch.autocast:
    """As a policy enters it: for bfloat16 products of wider weights."""
    weight = next(model.parameters())
    enabled = compute_dtype is torch.bfloat16 and weight.dtype is not torch.bfloat16
    return torch.autocast(weight.device.type, dtype=torch.bfloat16, enabled=enabled)
