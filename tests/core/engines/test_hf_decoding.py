"""Choosing tokens: the right distribution, the nucleus, and no dependence on the batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.engines.base import Sampling
from core.engines.hf_decoding import choose_tokens, keep_nucleus
from tests.core.engines.conftest import start

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, float("-inf")])


def test_samples_follow_the_softmax_at_their_temperature():
    n = 200_000
    uniforms = torch.rand(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sampling = Sampling(temperature=1.7)
    tokens, _ = choose_tokens(LOGITS.repeat(n, 1), sampling, uniforms)
    shares = torch.bincount(tokens, minlength=5) / n
    assert torch.allclose(shares, (LOGITS / 1.7).softmax(-1), atol=5e-3)
    assert shares[4] == 0


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_extreme_random_numbers_never_pick_an_impossible_token(uniform):
    logits = torch.tensor([[float("-inf"), 0.0, 0.0, float("-inf")]])
    uniforms = torch.tensor([uniform], dtype=torch.float64)
    tokens, _ = choose_tokens(logits, Sampling(temperature=1.0), uniforms)
    assert tokens.item() in (1, 2)


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=12, unique=True),
    top_p=st.floats(0.01, 0.99),
)
def test_nucleus_is_the_smallest_set_with_enough_mass(values, top_p):
    logits = torch.tensor([values], dtype=torch.float64)
    kept = keep_nucleus(logits, top_p)[0].isfinite()
    probabilities = logits[0].softmax(-1)
    mass = probabilities[kept].sum().item()
    assert mass >= top_p - 1e-9
    assert mass - probabilities[kept].min().item() < top_p + 1e-9
    assert probabilities[kept].min() >= probabilities.masked_fill(kept, 0).max()


def test_greedy_reports_logprobs_at_temperature_one():
    tokens, logprobs = choose_tokens(LOGITS[None], Sampling(logprobs=True), None)
    assert tokens.tolist() == [0]
    assert logprobs.item() == pytest.approx(LOGITS.log_softmax(-1)[0].item())


@pytest.mark.slow
def test_batch_size_changes_no_response(model_dir, prompts):
    from core.engines.hf import HfEngine

    sampling = Sampling(temperature=0.8, max_tokens=20, n=2, stop=("e",))
    answers = [
        HfEngine(model_dir, dtype="float32", device="cpu", batch_size=size).generate(
            prompts[:9], sampling
        )
        for size in (1, 5, 64)
    ]
    assert answers[0] == answers[1] == answers[2]


def test_padded_prompts_are_answered_like_single_ones(model_dir, prompts):
    engine = start("hf", model_dir)
    greedy = Sampling(max_tokens=12, stop=())
    together = engine.generate(prompts[:6], greedy)
    assert together == [engine.generate([prompt], greedy)[0] for prompt in prompts[:6]]
