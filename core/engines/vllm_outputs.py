"""vLLM's outputs in the words of the engine protocol."""

from typing import Any

from core.engines.base import Completion, FinishReason, Sampling


def completion(output: Any, sampling: Sampling) -> Completion:
    """What the engine protocol calls a completion, from a finished output of vLLM."""
    ids = tuple(output.token_ids)
    logprobs = None
    if sampling.logprobs:
        logprobs = tuple(
            entry[token].logprob for entry, token in zip(output.logprobs, ids, strict=True)
        )
    return Completion(output.text, ids, _finish(output), logprobs)


def _finish(output: Any) -> FinishReason:
    """vLLM says `stop` for end tokens and stop strings alike; the stop reason tells them apart."""
    if output.finish_reason == "stop":
        by_string = isinstance(output.stop_reason, str)
        return FinishReason.STOP_STRING if by_string else FinishReason.EOS
    return FinishReason.LENGTH if output.finish_reason == "length" else FinishReason.UNKNOWN
