"""What training on rollouts rests on: exact log-probabilities, and no memory of earlier prompts."""

import pytest

from core.engines.base import Completion, InferenceEngine, Sampling
from tests.models import CORPUS

TEMPERATURE = 1.3
MIN_TOKENS = 8
END = 0


@pytest.mark.slow
@pytest.mark.parametrize("top_p", [1.0, 0.7])
def test_log_probabilities_are_those_of_the_distribution_that_was_sampled(
    engine: InferenceEngine, prompts: list[str], top_p: float
) -> None:
    sampling = Sampling(
        temperature=TEMPERATURE,
        top_p=top_p,
        min_tokens=MIN_TOKENS,
        max_tokens=MIN_TOKENS + 4,
        n=4,
        logprobs=True,
        stop=(),
    )
    moved = 0.0
    for prompt, group in zip(prompts[:4], engine.generate(prompts[:4], sampling), strict=True):
        for completion in group:
            expected = _log_probs(engine, prompt, completion, top_p, MIN_TOKENS)
            assert completion.logprobs == pytest.approx(expected, abs=2e-4)
            free = _log_probs(engine, prompt, completion, top_p, 0)
            moved = max([moved, *(abs(a - b) for a, b in zip(expected, free, strict=True))])
    assert moved > 1e-3, "here it matters that the end is forbidden at first"


def test_what_was_asked_before_moves_no_bit(engine: InferenceEngine) -> None:
    shared = CORPUS[0] * 8
    asked = [f"{shared} Question {i}: {CORPUS[1]}" for i in range(12)]
    before = [f"{shared} Another {i}?" for i in range(7)]
    sampling = Sampling(temperature=1.0, max_tokens=12, n=2, logprobs=True, stop=())
    first = engine.generate(asked, sampling)
    engine.generate(before, sampling)
    assert engine.generate(asked, sampling) == first
    assert engine.generate(asked[:5], sampling)[0][0].token_ids == first[0][0].token_ids


def _log_probs(
    engine: InferenceEngine, prompt: str, completion: Completion, top_p: float, min_tokens: int
) -> list[float]:
    """Written out in float64: forbid the end, divide by the temperature, keep the nucleus."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(engine._model_dir)  # type: ignore[attr-defined]
    ids = engine._tokenizer(prompt, add_special_tokens=False)["input_ids"]  # type: ignore[attr-defined]
    with torch.no_grad():
        logits = model(torch.tensor([[*ids, *completion.token_ids]])).logits[0].double()
    found = []
    for place, token in enumerate(completion.token_ids):
        row = logits[len(ids) - 1 + place].clone()
        if place < min_tokens:
            row[END] = -torch.inf
        shares, order = (row / TEMPERATURE).softmax(-1).sort(descending=True)
        kept = int((shares.cumsum(-1) < top_p).sum()) + 1
        place_of = int((order == token).nonzero()[0])
        assert place_of < kept, "only what is in the nucleus can be sampled"
        found.append(float((shares[place_of] / shares[:kept].sum()).log()))
    return found
