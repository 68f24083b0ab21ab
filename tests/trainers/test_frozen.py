"""A policy that is only read takes less memory and gives the same log-probabilities, bit by bit."""

import pytest
import torch

from core.models import prepare_imports
from trainers.frozen import freeze
from trainers.policy import Policy
from trainers.precision import BFLOAT16, MIXED, Precision
from trainers.tokenization import Example

ROWS = [Example("p", (*range(2, 40),), (False,) * 10 + (True,) * 28, 10, 38)]


def fresh(precision: Precision, tied: bool = True) -> Policy:
    prepare_imports()
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
    )
    model = Qwen2ForCausalLM(config).to(precision.weights)
    tokenizer = type("Tokenizer", (), {"pad_token_id": 0, "eos_token_id": 1})()
    return Policy(model, tokenizer, torch.device("cpu"), precision)


def size(policy: Policy) -> int:
    return sum(p.numel() * p.element_size() for p in policy.model.parameters())


@pytest.mark.parametrize("tied", [True, False])
def test_log_probabilities_stay_bit_by_bit(tied: bool) -> None:
    policy = fresh(MIXED, tied)
    before, bytes_before = policy.log_probs(ROWS).log_probs, size(policy)
    frozen = freeze(policy)
    assert torch.equal(frozen.log_probs(ROWS).log_probs, before)
    assert size(frozen) < 0.75 * bytes_before
    assert not any(p.requires_grad for p in frozen.model.parameters())


def test_embeddings_and_norms_stay_as_they_are() -> None:
    model = freeze(fresh(MIXED)).model
    wide = {name for name, p in model.named_parameters() if p.dtype is torch.float32}
    assert "model.embed_tokens.weight" in wide
    assert all("norm" in name or "embed" in name for name in wide)


def test_weights_that_are_narrow_stay() -> None:
    policy = fresh(BFLOAT16)
    bytes_before = size(policy)
    assert size(freeze(policy)) == bytes_before
