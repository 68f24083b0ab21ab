"""From prompts and settings to single requests: token ids, room for new tokens, and own seeds."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.engines.base import Sampling, TokenPrompt
from core.errors import UserError
from core.models import encode_prompt

# vLLM raises smaller positive temperatures to this value; refusing them keeps engines equal.
MIN_TEMPERATURE = 0.01


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to make.

    Attributes:
        prompt: Index of the prompt.
        sample: Number of the sample for this prompt, from 0.
        prompt_ids: The prompt in tokens.
        max_tokens: Cap on new tokens: what was asked for, or what the context has left.
        seed: Seed of this request alone, so that results do not depend on batching.
    """

    prompt: int
    sample: int
    prompt_ids: tuple[int, ...]
    max_tokens: int
    seed: int


def plan_requests(
    prompts: Sequence[str | TokenPrompt], sampling: Sampling, tokenizer: Any, max_model_len: int
) -> list[Request]:
    """Tokenize prompts and spread them over `sampling.n` requests each, prompt by prompt.

    Raises:
        UserError: a setting is out of range, or a prompt leaves no room for a new token.
    """
    check_sampling(sampling)
    requests = []
    for index, prompt in enumerate(prompts):
        given = _in_tokens(prompt, tokenizer)
        ids, place = given.ids, index if given.index is None else given.index
        _check_length(index, len(ids), max_model_len)
        room = min(sampling.max_tokens, max_model_len - len(ids))
        requests += [
            Request(
                index, sample, ids, room, request_seed(sampling.seed, place, given.sample + sample)
            )
            for sample in range(sampling.n)
        ]
    return requests


def request_seed(seed: int, prompt: int, sample: int) -> int:
    """A 63-bit seed that depends on all three numbers and on nothing else."""
    digest = hashlib.sha256(f"{seed}/{prompt}/{sample}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def check_sampling(sampling: Sampling) -> None:
    """Refuse settings that no engine can honour.

    Raises:
        UserError: names the setting, its value and what is allowed.
    """
    rules = (
        ("temperature", sampling.temperature, _temperature_ok(sampling.temperature),
         f"0 for greedy, or at least {MIN_TEMPERATURE}"),
        ("top_p", sampling.top_p, 0 < sampling.top_p <= 1, "above 0 and at most 1"),
        ("max_tokens", sampling.max_tokens, sampling.max_tokens >= 1, "at least 1"),
        ("min_tokens", sampling.min_tokens, 0 <= sampling.min_tokens <= sampling.max_tokens,
         f"between 0 and max_tokens ({sampling.max_tokens})"),
        ("n", sampling.n, sampling.n >= 1, "at least 1"),
        ("stop", sampling.stop, all(sampling.stop), "strings that are not empty"),
    )  # fmt: skip
    for name, value, allowed, rule in rules:
        if not allowed:
            raise UserError(f"{name} is {value!r}; it must be {rule}")


def _in_tokens(prompt: str | TokenPrompt, tokenizer: Any) -> TokenPrompt:
    if isinstance(prompt, TokenPrompt):
        return prompt
    return TokenPrompt(tuple(encode_prompt(tokenizer, prompt)))


def _temperature_ok(temperature: float) -> bool:
    return temperature == 0 or MIN_TEMPERATURE <= temperature < float("inf")


def _check_length(index: int, length: int, max_model_len: int) -> None:
    if length == 0:
        raise UserError(f"prompt {index} is empty; every prompt needs at least one token")
    if length >= max_model_len:
        raise UserError(
            f"prompt {index} has {length} tokens and the engine's context is {max_model_len}, "
            "which leaves no room for a response; raise the context length or shorten the prompt"
        )
