"""Which models may be trained on packed rows: asked first, then shown by running them."""

from typing import Any

import pytest
import torch

from tests.trainers.packed.models import tiny
from trainers.packed import attention, prepare
from trainers.packed.choice import Installed
from trainers.packed.kernels import ATTENTION, Kernel, block_attention
from trainers.packed.prepare import attention_need, prepare_packed


def test_a_plain_transformer_is_packed_and_the_reason_names_the_kernel() -> None:
    packing = prepare_packed(tiny("Qwen2"), torch.float32)
    assert packing.kernel is Kernel.BLOCKS
    assert packing.reason == (
        "one attention call per example: variable-length kernels need CUDA, and this is cpu"
    )


@pytest.mark.parametrize(
    ("architecture", "settings", "reason"),
    [
        ("Mistral", {"sliding_window": 4}, "attends within a sliding window of 4"),
        ("Gemma2", {"head_dim": 8}, "has layers of type sliding_attention"),
        ("Qwen2", {"attention_dropout": 0.1}, "drops out attention weights"),
        ("Phi", {}, "has no plain output embedding"),
        ("StableLm", {}, "does not let transformers exchange its attention"),
        # Cohere multiplies its logits, which the output embedding alone does not tell
        ("Cohere", {}, "scores a packed example differently"),
    ],
)
def test_what_packing_cannot_do_is_refused_with_its_reason(
    architecture: str, settings: dict[str, Any], reason: str
) -> None:
    model = tiny(architecture, **settings)
    before = model.config._attn_implementation
    packing = prepare_packed(model, torch.float32)
    assert packing.kernel is None
    assert packing.reason.startswith(f"rows are padded: {architecture}ForCausalLM")
    assert reason in packing.reason
    assert model.config._attn_implementation == before


def test_a_mistral_without_a_window_is_packed() -> None:
    assert prepare_packed(tiny("Mistral", sliding_window=None), torch.float32).kernel is not None


def test_a_model_that_reads_across_examples_is_found_by_running_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crossing(query, key, value, ends, longest, scale):  # type: ignore[no-untyped-def]
        whole = torch.tensor([0, len(query)], dtype=torch.int32)
        return block_attention(query, key, value, whole, len(query), scale)

    monkeypatch.setitem(ATTENTION, Kernel.BLOCKS, crossing)
    packing = prepare_packed(tiny("Qwen2"), torch.float32)
    assert packing.kernel is None
    assert "one example of a packed row changes another" in packing.reason


def test_a_model_whose_positions_do_not_start_again_is_found_by_running_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = attention.call_arguments

    def running_on(row, kernel):  # type: ignore[no-untyped-def]
        arguments = usual(row, kernel)
        # relative distances stay, so only a model with absolute positions can tell
        return arguments | {"position_ids": 3 * arguments["position_ids"]}

    monkeypatch.setattr("trainers.packed.forward.call_arguments", running_on)
    packing = prepare_packed(tiny("Qwen2"), torch.float32)
    assert packing.kernel is None
    assert "scores a packed example differently" in packing.reason


def test_the_kernel_that_works_is_the_one_the_model_is_switched_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def as_on_a_gpu(need, installed, trial):  # type: ignore[no-untyped-def]
        assert trial(Kernel.VARLEN, need) is None
        return prepare.choose_kernel(need, installed, trial)

    monkeypatch.setitem(ATTENTION, Kernel.VARLEN, block_attention)
    monkeypatch.setattr("trainers.packed.choice._unfit", lambda need, installed: None)
    model = tiny("Qwen2")
    packing = prepare_packed(
        model,
        torch.float32,
        installed=Installed(flash_attn=None, torch_varlen="2.13.0", capability=(9, 0)),
    )
    assert packing.kernel is Kernel.VARLEN
    assert attention.kernel_of(model) is Kernel.VARLEN


def test_preparing_leaves_training_mode_and_random_state_alone() -> None:
    model = tiny("Qwen2").train()
    before = torch.random.get_rng_state()
    prepare_packed(model, torch.float32)
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_preparing_twice_gives_the_same_verdict() -> None:
    model = tiny("Qwen2")
    assert prepare_packed(model, torch.float32) == prepare_packed(model, torch.float32)


def test_bfloat16_autocast_is_what_the_kernel_is_asked_for() -> None:
    device = torch.device("cpu")
    assert attention_need(tiny("Qwen2"), device, torch.bfloat16).dtype is torch.bfloat16
    assert attention_need(tiny("Qwen2"), device, torch.float32).dtype is torch.float32
    need = attention_need(tiny("Qwen3", head_dim=16), device, torch.float32)
    assert (need.heads, need.key_heads, need.head_size) == (4, 2, 16)


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"sliding_window": 4}, "sliding_window"),
        ({"softcap": 30.0}, "softcap"),
        ({"s_aux": torch.zeros(2)}, "s_aux"),
        ({"dropout": 0.1}, "dropout"),
        ({"is_causal": False}, "attention to later tokens"),
    ],
)
def test_a_layer_that_asks_for_more_than_causal_attention_is_not_obeyed_in_part(
    extra: dict[str, Any], named: str
) -> None:
    states = torch.zeros(1, 2, 3, 8)
    ends = torch.tensor([0, 3], dtype=torch.int32)
    with pytest.raises(ValueError, match=named):
        attention.packed_attention(
            torch.nn.Module(),
            states,
            states,
            states,
            None,
            kernel=Kernel.BLOCKS,
            cu_seq_lens_q=ends,
            max_length_q=3,
            **extra,
        )
