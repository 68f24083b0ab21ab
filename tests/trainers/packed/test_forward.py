"""Packed rows through real transformers models: examples never meet, and nothing else changes."""

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainers.packed.models import (
    exact,
    example,
    loss_and_gradients,
    padded_log_probs,
    padded_loss_and_gradients,
    tiny,
)
from trainers.objectives import sft_loss
from trainers.packed.forward import supervised_log_probs_packed, supervised_loss_packed
from trainers.packed.prepare import prepare_packed
from trainers.packed.row import pack_row, split_rows

ARCHITECTURES = ["Qwen2", "Llama", "Qwen3", "Gemma", "Olmo2"]


def prepared(architecture: str = "Qwen2", **settings: Any) -> Any:
    model = tiny(architecture, **settings)
    assert prepare_packed(model, torch.float32).kernel is not None
    return model


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any]:
    """A float64 model as transformers has it, and the same prepared for packed rows."""
    plain = exact(tiny("Qwen2"))
    packed = exact(tiny("Qwen2"))
    assert prepare_packed(packed, torch.float64).kernel is not None
    return plain, packed


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(1, 24), min_size=1, max_size=7).filter(lambda lengths: max(lengths) > 1),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(8, 80),
    st.booleans(),
)
def test_loss_and_every_gradient_equal_the_padded_ones_whatever_the_split(
    pair: tuple[Any, Any], lengths: list[int], share: float, budget: int, fused: bool
) -> None:
    plain, packed = pair
    examples = [example(length, seed, supervised=share) for seed, length in enumerate(lengths)]
    denominator = max(1.0, sum(one.supervised_count for one in examples))
    wanted_loss, wanted = padded_loss_and_gradients(plain, examples, denominator)
    total = torch.zeros((), dtype=torch.float64)
    for part in split_rows(examples, budget):
        row = pack_row(part)
        if fused:
            total = total + supervised_loss_packed(packed, row, denominator)
        else:
            total = total + sft_loss(supervised_log_probs_packed(packed, row), denominator)
    loss, gradients = loss_and_gradients(packed, total)
    assert abs(loss - wanted_loss) < 1e-10
    assert gradients.keys() == wanted.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=0, atol=1e-10, msg=name)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_log_probs_equal_the_padded_ones_in_order(architecture: str) -> None:
    settings = {"head_dim": 16} if architecture in ("Qwen3", "Gemma") else {}
    plain, packed = tiny(architecture, **settings), prepared(architecture, **settings)
    examples = [example(length, 1) for length in (9, 2, 17, 5)]
    with torch.no_grad():
        found = supervised_log_probs_packed(packed, pack_row(examples))
        wanted = padded_log_probs(plain, examples)
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_changing_one_example_leaves_every_bit_of_the_others(architecture: str) -> None:
    model = prepared(architecture)
    examples = [example(length, 2) for length in (11, 6, 14)]
    for changed in range(3):
        others = [*examples]
        others[changed] = example(len(examples[changed].token_ids), 99, supervised=1.0)
        with torch.no_grad():
            before, after = (_by_example(model, given) for given in (examples, others))
        for place in range(3):
            assert torch.equal(before[place], after[place]) == (place != changed)


def test_one_examples_loss_has_no_gradient_at_anothers_tokens() -> None:
    model = prepared()
    examples = [example(6, 1, supervised=1.0), example(7, 2, supervised=1.0)]
    states = []
    hook = model.get_input_embeddings().register_forward_hook(
        lambda module, args, output: states.append(output.requires_grad_()) or output
    )
    log_probs = supervised_log_probs_packed(model, pack_row(examples))
    hook.remove()
    reached = torch.autograd.grad(log_probs[5:].sum(), states[0])[0][0].abs().sum(-1)
    assert reached[:5].eq(0).all()
    assert reached[5:].gt(0).all()


def test_the_order_of_examples_in_a_row_does_not_matter() -> None:
    model = prepared()
    examples = [example(length, 3) for length in (11, 6, 14)]
    with torch.no_grad():
        forth, back = _by_example(model, examples), _by_example(model, examples[::-1])[::-1]
    for one, other in zip(forth, back, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-5)


def test_checkpointed_activations_stay_within_their_examples() -> None:
    model = prepared()
    row = pack_row([example(length, 4) for length in (9, 13)])
    loss, wanted = loss_and_gradients(model, supervised_loss_packed(model, row, 5.0))
    model.gradient_checkpointing_enable({"use_reentrant": False})
    again, found = loss_and_gradients(model, supervised_loss_packed(model, row, 5.0))
    assert torch.equal(loss, again)
    for name, gradient in found.items():
        assert torch.equal(gradient, wanted[name]), name


def test_bfloat16_autocast_comes_close_to_float32() -> None:
    model = prepared()
    row = pack_row([example(length, 5, supervised=1.0) for length in (9, 13)])
    with torch.no_grad():
        wanted = supervised_log_probs_packed(model, row)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = supervised_log_probs_packed(model, row)
    assert found.dtype is torch.float32
    assert 0 < (found - wanted).abs().mean() < 0.1


def test_a_row_without_targets_costs_nothing_and_breaks_nothing() -> None:
    model = prepared()
    row = pack_row([example(9, 6, supervised=0.0)])
    loss = supervised_loss_packed(model, row, 3.0)
    loss.backward()
    assert loss.item() == 0.0
    assert supervised_log_probs_packed(model, row).shape == (0,)


def test_a_prepared_model_answers_padded_calls_bit_for_bit_as_before() -> None:
    plain, packed = tiny("Qwen2"), prepared()
    examples = [example(length, 7) for length in (9, 4)]
    assert torch.equal(padded_log_probs(plain, examples), padded_log_probs(packed, examples))


def test_a_prepared_model_still_generates_the_same_text() -> None:
    plain, packed = tiny("Qwen2").eval(), prepared().eval()
    prompt = torch.tensor([[5, 9, 11], [7, 3, 2]])
    options = {"max_new_tokens": 8, "do_sample": False, "attention_mask": torch.ones_like(prompt)}
    assert torch.equal(plain.generate(prompt, **options), packed.generate(prompt, **options))


def test_a_prepared_models_saved_config_does_not_name_the_kernel(tmp_path: Path) -> None:
    model = prepared()
    model.config.save_pretrained(tmp_path)
    assert "packed" not in (tmp_path / "config.json").read_text(encoding="utf-8")


def test_a_model_that_was_not_prepared_is_refused() -> None:
    with pytest.raises(ValueError, match="prepare_packed"):
        supervised_log_probs_packed(tiny("Qwen2"), pack_row([example(5, 1)]))


def test_a_prepared_model_can_be_copied() -> None:
    model = prepared()
    row = pack_row([example(random.Random(0).randrange(5, 9), 8)])
    with torch.no_grad():
        assert torch.equal(
            supervised_log_probs_packed(copy.deepcopy(model), row),
            supervised_log_probs_packed(model, row),
        )


def _by_example(model: Any, examples: list[Any]) -> tuple[torch.Tensor, ...]:
    row = pack_row(examples)
    return supervised_log_probs_packed(model, row).split(row.counts)
