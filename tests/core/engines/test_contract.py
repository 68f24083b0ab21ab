"""What both engines promise: where responses end, how seeds work, which weights they take."""

from pathlib import Path

import pytest

from core.engines.base import EngineError, FinishReason, Sampling
from core.errors import UserError
from tests.core.engines.conftest import start, weights_of

GREEDY = Sampling(max_tokens=24, stop=())


@pytest.fixture
def reference(model_dir, prompts):
    """Greedy completions without any stop string, from the transformers engine."""
    engine = start("hf", model_dir)
    yield [group[0] for group in engine.generate(prompts[:8], GREEDY)]
    engine.close()


def test_completions_come_in_prompt_order_with_n_samples_each(engine, prompts):
    sampling = Sampling(max_tokens=6, temperature=1.0, n=3, stop=())
    groups = engine.generate(prompts[:5], sampling)
    alone = engine.generate(prompts[:1], sampling)
    assert [len(group) for group in groups] == [3] * 5
    assert groups[0] == alone[0]


def test_length_cap_is_reported_with_exactly_max_tokens(engine, prompts):
    (group,) = engine.generate(prompts[:1], Sampling(max_tokens=7, stop=()))
    assert group[0].finish is FinishReason.LENGTH
    assert len(group[0].token_ids) == 7


def test_stop_string_that_straddles_tokens_ends_the_text_right_behind_it(
    engine, reference, prompts
):
    full = reference[0]
    stop = _straddling(full.text)
    (group,) = engine.generate(prompts[:1], Sampling(max_tokens=24, stop=("never", stop)))
    end = full.text.index(stop) + len(stop)
    assert group[0].finish is FinishReason.STOP_STRING
    assert group[0].text == full.text[:end]
    assert group[0].token_ids == full.token_ids[: len(group[0].token_ids)]


def test_stop_string_at_the_cap_counts_as_stop_string(engine, reference, prompts):
    full = reference[0]
    stop = _straddling(full.text)
    (group,) = engine.generate(prompts[:1], Sampling(max_tokens=24, stop=(stop,)))
    cap = len(group[0].token_ids)
    (capped,) = engine.generate(prompts[:1], Sampling(max_tokens=cap, stop=(stop,)))
    assert capped[0] == group[0]


def test_min_tokens_ignores_earlier_stop_strings(engine, reference, prompts):
    stop = reference[0].text[2]
    (group,) = engine.generate(prompts[:1], Sampling(max_tokens=24, min_tokens=12, stop=(stop,)))
    assert len(group[0].token_ids) > 12


def test_seeds_reproduce_and_differ_between_samples_prompts_and_seeds(engine, prompts):
    sampling = Sampling(temperature=1.0, top_p=0.9, max_tokens=16, n=2, seed=5, stop=())
    first = engine.generate(prompts[:3], sampling)
    again = engine.generate(prompts[:3], sampling)
    other = engine.generate(prompts[:3], Sampling(**{**_fields(sampling), "seed": 6}))
    assert first == again
    assert first[0][0] != first[0][1]
    assert first != other


def test_logprobs_belong_to_the_sampled_tokens(engine, prompts):
    sampling = Sampling(temperature=1.3, max_tokens=10, logprobs=True, stop=())
    (group,) = engine.generate(prompts[:1], sampling)
    assert len(group[0].logprobs) == len(group[0].token_ids)
    expected = _logprobs(engine, prompts[0], group[0].token_ids, 1.3)
    assert group[0].logprobs == pytest.approx(expected, abs=1e-4)


def test_prompt_without_room_is_refused_with_its_number_and_length(engine, prompts):
    with pytest.raises(UserError, match=r"prompt 1 has \d+ tokens .* 512"):
        engine.generate([prompts[0], "apples " * 600], GREEDY)


def test_max_tokens_is_cut_to_what_the_context_has_left(engine):
    (group,) = engine.generate(["7" * 500], Sampling(max_tokens=64, stop=()))
    assert 1 <= len(group[0].token_ids) <= 12


def test_progress_ends_at_the_number_of_responses(engine, prompts):
    seen = []
    sampling = Sampling(max_tokens=4, n=2, temperature=1.0)
    engine.generate(prompts[:3], sampling, lambda a, b: seen.append((a, b)))
    assert seen[-1] == (6, 6)


def test_tied_head_may_be_left_out(engine, other_model_dir, prompts):
    weights = weights_of(other_model_dir)
    engine.load_weights(weights.items())
    with_head = engine.generate(prompts[:4], GREEDY)
    del weights["lm_head.weight"]
    engine.load_weights(weights.items())
    assert engine.generate(prompts[:4], GREEDY) == with_head


@pytest.mark.parametrize("fault", ["unknown", "missing", "shape", "twice"])
def test_weights_that_do_not_fit_are_refused_before_anything_is_copied(
    engine, other_model_dir, prompts, fault
):
    before = engine.generate(prompts[:4], GREEDY)
    with pytest.raises(EngineError, match="nothing was copied"):
        engine.load_weights(_spoiled(weights_of(other_model_dir), fault))
    assert engine.generate(prompts[:4], GREEDY) == before


def _straddling(text: str) -> str:
    """Three characters from the middle of a text: they rarely coincide with one token."""
    return text[7:10]


def _fields(sampling: Sampling) -> dict:
    return {name: getattr(sampling, name) for name in Sampling.__dataclass_fields__}


def _spoiled(weights: dict, fault: str) -> list:
    import torch

    name = "model.layers.1.mlp.up_proj.weight"
    if fault == "unknown":
        return [*weights.items(), ("model.extra.weight", torch.zeros(1))]
    if fault == "missing":
        return [(key, value) for key, value in weights.items() if key != name]
    if fault == "shape":
        return [(k, v[:-1] if k == name else v) for k, v in weights.items()]
    return [*weights.items(), (name, weights[name])]


def _logprobs(engine, prompt: str, ids: tuple, temperature: float) -> list[float]:
    """Log-probabilities of a response from a plain forward pass."""
    import torch
    from transformers import AutoModelForCausalLM

    folder: Path = engine._model_dir
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt_ids = engine._tokenizer(prompt, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([prompt_ids + list(ids)])).logits[0].double() / temperature
    start_at = len(prompt_ids) - 1
    rows = logits.log_softmax(-1)[start_at : start_at + len(ids)]
    return [float(row[token]) for row, token in zip(rows, ids, strict=True)]
