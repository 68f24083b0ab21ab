"""Compiled layers: the same numbers, one graph for any row, and nothing where it does not work."""

import os
import random
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainers.packed.models import example, loss_and_gradients, tiny
from trainers.activation_checkpointing import set_activation_checkpointing
from trainers.packed import compiled, kernels
from trainers.packed.compiled import compile_layers, graphs, restore_layers, try_compiled
from trainers.packed.forward import supervised_loss_packed
from trainers.packed.kernels import ATTENTION, Kernel, load_flash_attn
from trainers.packed.prepare import prepare_packed
from trainers.packed.row import pack_row

# of dynamo and autograd as they are, without a compiler of kernels behind them
TRACED = "aot_eager"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    torch._dynamo.reset()


def prepared(dtype: torch.dtype = torch.float32) -> Any:
    model = tiny("Qwen2")
    assert prepare_packed(model, dtype).kernel is Kernel.BLOCKS
    return model


def rows(count: int) -> list[list[int]]:
    draw = random.Random(7)
    return [[draw.randint(2, 40) for _ in range(draw.randint(1, 4))] for _ in range(count)]


@pytest.mark.slow
def test_losses_and_gradients_stay_and_twenty_rows_share_one_graph() -> None:
    same_as_before(TRACED)


@pytest.mark.slow
@pytest.mark.skipif(
    "A5CTL_TEST_INDUCTOR" not in os.environ,
    reason="half a minute of a C++ compiler; set A5CTL_TEST_INDUCTOR to run it",
)
def test_inductor_gives_what_the_layers_give() -> None:
    same_as_before("inductor")


def same_as_before(backend: str) -> None:
    model = prepared()
    packed = [pack_row([example(one, 1) for one in lengths]) for lengths in rows(20)]

    def passes() -> list[tuple[Tensor, dict[str, Tensor]]]:
        losses = (supervised_loss_packed(model, row, 9.0) for row in packed)
        return [loss_and_gradients(model, loss) for loss in losses]

    wanted = passes()
    verdict = try_compiled(model, Kernel.BLOCKS, torch.float32, 64, backend)
    assert verdict.on, verdict.reason
    assert verdict.seconds > 0
    for checkpointed in (False, True):
        set_activation_checkpointing(model, on=checkpointed)
        for (loss, gradients), (other, expected) in zip(passes(), wanted, strict=True):
            torch.testing.assert_close(loss, other, rtol=1e-5, atol=0)
            for name, gradient in gradients.items():
                torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-4)
    assert graphs() == 1


@pytest.mark.slow
def test_padded_calls_never_reach_the_compiler() -> None:
    def refused(graph: Any, inputs: Any) -> Any:
        raise AssertionError("compiled")

    model = prepared()
    ids = torch.arange(3, 14).unsqueeze(0)
    wanted = model(input_ids=ids, use_cache=False).logits
    compile_layers(model, refused)
    assert torch.equal(model(input_ids=ids, use_cache=False).logits, wanted)
    with pytest.raises(Exception, match="compiled"):
        supervised_loss_packed(model, pack_row([example(9, 1)]), 1.0)
    restore_layers(model)
    supervised_loss_packed(model, pack_row([example(9, 1)]), 1.0)


@pytest.mark.slow
def test_graphs_of_other_code_stay() -> None:
    made: list[Any] = []

    def counting(graph: Any, inputs: Any) -> Any:
        made.append(graph)
        return graph.forward

    other = torch.compile(lambda values: values * 2 + 1, backend=counting)
    other(torch.ones(3))
    model = prepared()
    compile_layers(model, counting)
    supervised_loss_packed(model, pack_row([example(9, 1)]), 1.0)
    assert len(made) == 2
    compile_layers(model, counting)
    other(torch.ones(3))
    assert len(made) == 2
    supervised_loss_packed(model, pack_row([example(9, 1)]), 1.0)
    assert len(made) == 3


@pytest.mark.slow
def test_layers_stay_as_they_are_where_compiling_fails() -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no compiler here\nand much more")

    model = prepared()
    before = supervised_loss_packed(model, pack_row([example(9, 1)]), 1.0)
    verdict = try_compiled(model, Kernel.BLOCKS, torch.float32, 64, broken)
    assert not verdict.on
    assert verdict.reason.startswith("layers run as they are: compiling fails here (")
    assert "no compiler here" in verdict.reason
    assert "\n" not in verdict.reason
    assert torch.equal(before, supervised_loss_packed(model, pack_row([example(9, 1)]), 1.0))
    assert all(one.grad is None for one in model.parameters())


@pytest.mark.slow
def test_a_compiler_that_computes_something_else_is_found_out() -> None:
    def scaled(graph: Any, inputs: Any) -> Any:
        return lambda *given: [
            1.5 * one if one.is_floating_point() else one for one in graph(*given)
        ]

    verdict = try_compiled(prepared(), Kernel.BLOCKS, torch.float32, 64, scaled)
    assert not verdict.on
    assert "computes something else (off by" in verdict.reason


def test_a_model_without_layers_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "layers_of", lambda model: [])
    verdict = try_compiled(tiny("Qwen2"), Kernel.BLOCKS, torch.float32, 64, TRACED)
    assert verdict.reason == "layers run as they are: Qwen2ForCausalLM has no list"


@pytest.mark.slow
def test_calls_of_torchs_kernel_are_traced_whole() -> None:
    pytest.importorskip("torch.nn.attention.varlen")
    traced_whole(Kernel.VARLEN_REPEATED)  # which calls the other one


@pytest.mark.slow
def test_calls_of_flash_attn_are_traced_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def stand_in(q, k, v, cu_q, cu_k, longest_q, longest_k, *, softmax_scale, causal):  # type: ignore[no-untyped-def]
        assert causal
        shared = (k + v).repeat_interleave(q.shape[1] // k.shape[1], 1)
        return q * softmax_scale * longest_q + shared

    package = SimpleNamespace(flash_attn_varlen_func=stand_in)
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    monkeypatch.setattr(kernels, "_flash_attn", None)
    assert load_flash_attn() is stand_in
    traced_whole(Kernel.FLASH_ATTN)


def traced_whole(kernel: Kernel) -> None:
    """Forward and backward in one graph for two lengths, on tensors without values."""
    query, key = (torch.empty(4, heads, 64, device="meta") for heads in (14, 2))
    ATTENTION[kernel](query, key, key, torch.empty(2, device="meta"), 4, 0.125)  # the trial's part
    attend = torch.compile(ATTENTION[kernel], backend=TRACED, fullgraph=True, dynamic=True)
    compiled.forget_graphs([])
    for positions in (9, 23):
        query, key = (
            torch.empty(positions, heads, 64, device="meta", dtype=torch.bfloat16).requires_grad_()
            for heads in (14, 2)
        )
        ends = torch.empty(positions // 3, dtype=torch.int32, device="meta")
        mixed = attend(query, key, key, ends, positions - 2, 0.125)
        mixed.sum().backward()
        assert mixed.shape == query.shape
        assert key.grad is not None
    assert graphs() == 1
