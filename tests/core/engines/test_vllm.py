"""What only vLLM can get wrong: stale caches, hangs after errors, and traces in the process."""

import os

import pytest

from core.engines.base import Sampling
from tests.core.engines.conftest import start, weights_of

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
GREEDY = Sampling(max_tokens=32, stop=("</answer>",))


@pytest.fixture(scope="module")
def vllm(model_dir):
    engine = start("vllm", model_dir)
    yield engine
    engine.close()


def test_greedy_texts_equal_those_of_transformers(vllm, model_dir, prompts):
    hf = start("hf", model_dir)
    expected = hf.generate(prompts, GREEDY)
    differing = [
        index
        for index, pair in enumerate(zip(vllm.generate(prompts, GREEDY), expected, strict=True))
        if pair[0] != pair[1]
    ]
    assert len(differing) <= 1, f"prompts {differing} differ"


def test_no_prefix_of_the_old_weights_survives_a_copy(
    vllm, model_dir, other_model_dir, prompts, monkeypatch
):
    long = [prompt for prompt in prompts if len(prompt) > 300]
    expected = {}
    for folder in (other_model_dir, model_dir):
        hf = start("hf", folder)
        expected[folder] = hf.generate(long, GREEDY)
    vllm.generate(long, GREEDY)
    vllm.load_weights(weights_of(other_model_dir).items())
    assert vllm.generate(long, GREEDY) == expected[other_model_dir]
    vllm.load_weights(weights_of(model_dir).items())
    assert vllm.generate(long, GREEDY) == expected[model_dir]


def test_environment_threads_and_logging_are_as_before(model_dir, vllm):
    import logging

    import torch

    assert torch.set_num_threads.__module__ != "vllm.v1.worker.cpu_worker"
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)
    assert not [name for name in os.environ if name.startswith("VLLM_")]
    assert logging.getLogger("vllm").handlers == []


def test_training_is_bit_identical_with_and_without_evaluation(vllm, model_dir, other_model_dir):
    def train(evaluate):
        import torch
        from transformers import AutoModelForCausalLM

        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_pretrained(model_dir)
        model.config.attention_dropout = 0.1
        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        losses = []
        for step in range(20):
            ids = torch.randint(0, 300, (4, 32))
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            if evaluate and step % 5 == 0:
                vllm.load_weights(model.state_dict().items())
                vllm.generate(["Tom has"], Sampling(temperature=1.0, max_tokens=8))
        return losses

    alone = train(evaluate=False)
    assert train(evaluate=True) == alone
    vllm.load_weights(weights_of(model_dir).items())
