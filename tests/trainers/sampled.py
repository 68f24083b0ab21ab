"""The distribution that engines sample from, in its plainest form: one target at a time."""

from collections.abc import Sequence

import torch
from torch import Tensor

from trainers.logit_rules import LogitRules
from trainers.tokenization import Example


def sampled(
    logits: Tensor, examples: Sequence[Example], rules: LogitRules
) -> tuple[Tensor, Tensor]:
    """Log-probabilities (with gradient) and entropies of all targets, from full logits (B, T, V).

    Tokens are struck from a list, likeliest first, until the list holds the mass of the nucleus.
    """
    log_probs, entropies = [], []
    for row, example in enumerate(examples):
        for place in range(1, len(example.token_ids)):
            if not example.supervised[place]:
                continue
            label, scores = example.token_ids[place], logits[row, place - 1] / rules.temperature
            allowed = list(range(len(scores)))
            if place - example.prompt_length < rules.min_tokens:
                allowed = [token for token in allowed if token not in rules.end_ids]
            kept = _nucleus(scores.detach(), allowed, rules.top_p)
            chosen = scores[torch.tensor(sorted({*kept, label}))]
            total = chosen.exp().sum().log()
            log_probs.append(scores[label] - total)
            shares = (chosen - total).exp().detach()
            entropies.append(-sum(p * p.log() for p in shares if p > 0))
    if not log_probs:
        return logits.new_zeros(0) + logits.sum() * 0, logits.new_zeros(0)
    return torch.stack(log_probs), torch.stack(entropies)


def _nucleus(scores: Tensor, allowed: list[int], top_p: float) -> list[int]:
    weights = {token: float(scores[token].exp()) for token in allowed}
    whole, held, kept = sum(weights.values()), 0.0, []
    for token in sorted(allowed, key=weights.__getitem__, reverse=True):
        if held >= top_p * whole * (1 - 1e-15):
            break
        kept.append(token)
        held += weights[token]
    return kept
