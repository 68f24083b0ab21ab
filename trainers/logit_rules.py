"""The distribution that an engine samples from, as rules over the logits of the model.

The rules and their order are those of vLLM's sampler, which our transformers engine keeps too: no
end of response before `min_tokens` tokens (EOS and stop ids get no probability; stop strings are
merely not looked for, so they change nothing here), then the temperature, then the nucleus.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.config.methods import RolloutSettings
from core.engines.base import Sampling
from trainers.tokenization import Example

# logits that are sorted at once, by device: sorting takes about 20 more bytes for each
_SORTED = {"cpu": 4 * 1024 * 1024, "cuda": 64 * 1024 * 1024}


@dataclass(frozen=True, slots=True)
class LogitRules:
    """How sampling changes the model's distribution.

    Attributes:
        temperature: Divides the logits.
        top_p: Mass of the nucleus, in (0, 1].
        min_tokens: None of `end_ids` is among the first so many tokens of a response.
        end_ids: EOS and stop ids, from `core.models.end_token_ids` as the engines have them.

    Raises:
        ValueError: a value is out of range.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    min_tokens: int = 0
    end_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"the temperature must be positive and finite, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, not {self.top_p}")
        if self.min_tokens < 0:
            raise ValueError(f"min_tokens must not be negative, and it is {self.min_tokens}")

    @property
    def forbids_ends(self) -> bool:
        """Some tokens may not end a response."""
        return self.min_tokens > 0 and bool(self.end_ids)

    @property
    def plain(self) -> bool:
        """Nothing changes: responses are sampled from the model's own distribution."""
        return self.temperature == 1 and self.top_p == 1 and not self.forbids_ends


PLAIN = LogitRules()


def rules_of(sampling: Sampling | RolloutSettings, end_ids: Sequence[int]) -> LogitRules:
    """The rules behind the log-probabilities that an engine returns for these settings.

    A greedy engine takes the likeliest token and reports log-probabilities at temperature 1.

    Args:
        sampling: What the engine was asked for.
        end_ids: Of the model, from `core.models.end_token_ids`.
    """
    greedy = sampling.temperature == 0
    return LogitRules(
        temperature=1.0 if greedy else sampling.temperature,
        top_p=1.0 if greedy else sampling.top_p,
        min_tokens=sampling.min_tokens,
        end_ids=tuple(end_ids),
    )


def early_targets(examples: Sequence[Example], rules: LogitRules) -> Tensor | None:
    """Which targets are among the tokens that may not end their response.

    Args:
        examples: A micro-batch; a response begins behind the prompt.
        rules: What the responses were sampled under.

    Returns:
        Shape (n,), bool, in the order of the examples; None where no target is affected.

    Raises:
        ValueError: such a target ends its response, so it was sampled under other rules.
    """
    if not rules.forbids_ends:
        return None
    early: list[bool] = []
    for example in examples:
        limit = example.prompt_length + rules.min_tokens
        _check_end(example, rules)
        marks = example.supervised[1:]
        early += [place < limit for place, marked in enumerate(marks, 1) if marked]
    return torch.tensor(early) if any(early) else None


def _check_end(example: Example, rules: LogitRules) -> None:
    start, limit = example.prompt_length, example.prompt_length + rules.min_tokens
    for place in range(start, min(limit, len(example.token_ids))):
        if example.supervised[place] and example.token_ids[place] in rules.end_ids:
            raise ValueError(
                f"a response to {example.problem_id} ends with token {place - start + 1}, "
                f"and under its rules none ends before token {rules.min_tokens + 1}"
            )


def constrain(logits: Tensor, labels: Tensor, rules: LogitRules, early: Tensor | None) -> Tensor:
    """Divide by the temperature, and give what cannot be sampled the lowest finite logit.

    A label always stays possible: one that was sampled may lie just outside of the nucleus that
    is computed here, because of rounding, or because the weights have changed since. Which tokens
    stay is a constant for gradients. Equal logits at the border of the nucleus all stay.

    Args:
        logits: Shape (n, V), float32 or float64; overwritten.
        labels: Shape (n,), int64.
        rules: What is sampled under.
        early: Shape (n,), bool: where `end_ids` are impossible; nowhere when None.

    Returns:
        The same tensor; `log_softmax` of it is the distribution that is sampled from.
    """
    # finite, so that a probability of 0 times it is 0
    lowest = torch.finfo(logits.dtype).min
    if rules.temperature != 1:
        logits.div_(rules.temperature)
    if early is not None:
        ends = torch.tensor(rules.end_ids, device=logits.device)
        logits[:, ends] = logits[:, ends].masked_fill(early[:, None], lowest)
    if rules.top_p < 1:
        with torch.no_grad():
            outside = logits < nucleus_floor(logits, rules.top_p)
            outside.scatter_(1, labels[:, None], False)
        logits.masked_fill_(outside, lowest)
    return logits


def nucleus_floor(logits: Tensor, top_p: float) -> Tensor:
    """The lowest logit in the smallest set of mass `top_p` (Holtzman et al. 2020).

    As in vLLM's sampler, tokens are left out from the least likely on, as long as their mass is at
    most 1 - top_p.

    Args:
        logits: Shape (n, V).
        top_p: In (0, 1); the likeliest token always stays.

    Returns:
        Shape (n, 1).
    """
    rows = max(1, _SORTED.get(logits.device.type, _SORTED["cpu"]) // logits.shape[1])
    return torch.cat([_floor(part, top_p) for part in logits.split(rows)])


def _floor(logits: Tensor, top_p: float) -> Tensor:
    ordered = logits.sort(-1).values
    left_out = ordered.softmax(-1).cumsum(-1) <= 1 - top_p
    first = left_out.sum(-1, keepdim=True).clamp_(max=logits.shape[1] - 1)
    return ordered.gather(-1, first)
