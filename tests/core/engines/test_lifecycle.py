"""From start to close: fresh weights and copied ones, end tokens, and what stays untouched."""

import random

import pytest

from core.engines.base import EngineError, FinishReason, Sampling
from tests.core.engines.conftest import start, weights_of, with_end_ids

GREEDY = Sampling(max_tokens=24, stop=())


@pytest.fixture
def reference(model_dir, prompts):
    """Greedy completions without any stop string, from the transformers engine."""
    engine = start("hf", model_dir)
    yield [group[0] for group in engine.generate(prompts[:1], GREEDY)]
    engine.close()


def test_end_token_is_told_apart_from_a_stop_string_and_kept_in_the_ids(
    engine_name, model_dir, reference, prompts, tmp_path
):
    end = reference[0].token_ids[5]
    position = reference[0].token_ids.index(end)
    engine = start(engine_name, with_end_ids(model_dir, tmp_path / "model", (0, end)))
    (group,) = engine.generate(prompts[:1], Sampling(max_tokens=24, stop=("never",)))
    (later,) = engine.generate(prompts[:1], Sampling(max_tokens=24, min_tokens=12, stop=()))
    engine.close()
    assert group[0].finish is FinishReason.EOS
    assert group[0].token_ids == reference[0].token_ids[: position + 1]
    assert len(later[0].token_ids) > 12
    assert end not in later[0].token_ids[:12]


@pytest.mark.slow
def test_loaded_weights_answer_like_a_fresh_engine_and_unlike_before(
    engine_name, model_dir, other_model_dir, prompts
):
    engine = start(engine_name, model_dir)
    before = engine.generate(prompts, GREEDY)
    engine.load_weights(weights_of(other_model_dir).items())
    after = engine.generate(prompts, GREEDY)
    engine.close()
    fresh = start(engine_name, other_model_dir)
    expected = fresh.generate(prompts, GREEDY)
    fresh.close()
    assert sum(a == b for a, b in zip(after, expected, strict=True)) >= 63
    assert sum(a == b for a, b in zip(after, before, strict=True)) == 0


def test_untied_head_is_copied_and_may_not_be_missing(engine_name, untied_model_dir, prompts):
    engine = start(engine_name, untied_model_dir, dummy_weights=True)
    weights = weights_of(untied_model_dir)
    head = weights.pop("lm_head.weight")
    with pytest.raises(EngineError, match=r"missing lm_head\.weight"):
        engine.load_weights(weights.items())
    engine.load_weights({**weights, "lm_head.weight": head}.items())
    copied = engine.generate(prompts[:8], GREEDY)
    engine.close()
    fresh = start(engine_name, untied_model_dir)
    assert fresh.generate(prompts[:8], GREEDY) == copied
    fresh.close()


def test_random_states_are_left_alone(engine_name, model_dir, other_model_dir, prompts):
    import numpy as np
    import torch

    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    engine = start(engine_name, model_dir)
    after_start = states()
    engine.generate(prompts[:2], Sampling(temperature=1.0, max_tokens=4))
    after_sampling = states()
    engine.load_weights(weights_of(other_model_dir).items())
    assert before == after_start == after_sampling == states()
    engine.close()


def test_closing_twice_is_harmless_and_a_closed_engine_says_so(engine_name, model_dir, prompts):
    engine = start(engine_name, model_dir, dummy_weights=True)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.generate(prompts[:1], GREEDY)
