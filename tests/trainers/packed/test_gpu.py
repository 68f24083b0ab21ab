"""What only a GPU can show: the kernels are right, examples stay apart, and logits stay few.

Written for torch 2.11 or newer with transformers 5; flash-attn and liger-kernel are tested where
they are installed.
"""

from typing import Any

import pytest
import torch

from tests.trainers.packed.models import (
    example,
    loss_and_gradients,
    padded_log_probs,
    tiny,
)
from trainers.logit_rules import LogitRules, nucleus_floor
from trainers.objectives import sft_loss
from trainers.packed.choice import AttentionNeed, choose_kernel, find_installed, try_kernel
from trainers.packed.forward import (
    read_targets_packed,
    supervised_log_probs_packed,
    supervised_loss_packed,
    token_loss_packed,
)
from trainers.packed.kernels import Kernel
from trainers.packed.liger import liger_loss, liger_version
from trainers.packed.prepare import Packing, prepare_packed
from trainers.packed.projection import chunked_log_probs, chunked_loss, chunked_token_loss
from trainers.packed.projection_choice import ProjectionSize, choose_projection
from trainers.packed.row import pack_row
from trainers.reading import Reading

pytestmark = pytest.mark.gpu
DEVICE = torch.device("cuda")
SAMPLED = Reading(LogitRules(temperature=0.7, top_p=0.9), entropy=True)


def need(heads: int, key_heads: int, size: int) -> AttentionNeed:
    return AttentionNeed(DEVICE, torch.bfloat16, heads, key_heads, size, size**-0.5)


def prepared(dtype: torch.dtype) -> tuple[Any, Packing]:
    model = tiny("Qwen2").to(DEVICE)
    packing = prepare_packed(model, dtype)
    assert packing.kernel is not None, packing.reason
    return model, packing


def autocast() -> torch.autocast:
    return torch.autocast("cuda", dtype=torch.bfloat16)


@pytest.mark.parametrize("shape", [(14, 2, 64), (12, 2, 128), (4, 4, 8), (8, 1, 256)])
def test_a_variable_length_kernel_is_found_for_common_shapes(shape: tuple[int, int, int]) -> None:
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("variable-length kernels need compute capability 8.0")
    choice = choose_kernel(need(*shape), find_installed(DEVICE), try_kernel)
    assert choice.kernel is not Kernel.BLOCKS, choice.reason


def test_repeating_key_heads_gives_what_sharing_them_gives() -> None:
    assert try_kernel(Kernel.VARLEN_REPEATED, need(14, 2, 64)) is None


def test_float32_on_the_gpu_equals_the_cpu() -> None:
    model, packing = prepared(torch.float32)
    assert packing.kernel is Kernel.BLOCKS
    examples = [example(length, 1) for length in (9, 30, 5)]
    with torch.no_grad():
        found = supervised_log_probs_packed(model, pack_row(examples).to(DEVICE))
        wanted = padded_log_probs(tiny("Qwen2"), examples)
    torch.testing.assert_close(found.cpu(), wanted, rtol=0, atol=5e-3)


def test_changing_one_example_leaves_every_bit_of_the_others() -> None:
    model, _ = prepared(torch.bfloat16)
    examples = [example(length, 2) for length in (11, 60, 14)]
    for changed in range(3):
        others = [*examples]
        others[changed] = example(len(examples[changed].token_ids), 99, supervised=1.0)
        with torch.no_grad(), autocast():
            rows = [pack_row(given).to(DEVICE) for given in (examples, others)]
            before, after = (
                supervised_log_probs_packed(model, row).split(row.counts) for row in rows
            )
        for place in range(3):
            assert torch.equal(before[place], after[place]) == (place != changed)


def test_gradients_come_close_to_those_of_padded_float32_rows() -> None:
    model, _ = prepared(torch.bfloat16)
    examples = [example(length, 3) for length in (9, 40, 5)]
    count = float(sum(one.supervised_count for one in examples))
    plain = tiny("Qwen2")
    _, wanted = loss_and_gradients(plain, sft_loss(padded_log_probs(plain, examples), count))
    row = pack_row(examples).to(DEVICE)
    with autocast():
        losses = [
            supervised_loss_packed(model, row, count),
            sft_loss(supervised_log_probs_packed(model, row), count),
            token_loss_packed(model, row, lambda values, _: sft_loss(values, count))[0],
        ]
    for loss in losses:
        _, found = loss_and_gradients(model, loss)
        mine, other = (
            torch.cat([each[name].cpu().flatten() for name in sorted(wanted)])
            for each in (found, wanted)
        )
        # all at once: the gradient of a key's bias alone is nearly nothing but rounding
        assert (mine - other).norm() < 0.15 * other.norm()


def test_sampled_log_probs_and_entropies_equal_those_of_the_cpu() -> None:
    model, _ = prepared(torch.float32)
    other = tiny("Qwen2")
    assert prepare_packed(other, torch.float32).kernel is not None
    row = pack_row([example(length, 1) for length in (9, 30, 5)])
    rules = LogitRules(temperature=0.7, min_tokens=4, end_ids=(90, 91, 92, 93, 94, 95, 96))
    early = (torch.arange(len(row.labels)) % 3 == 0) & (row.labels < 90)
    reading = Reading(rules, early, entropy=True)
    found = read_targets_packed(model, row.to(DEVICE), reading.to(DEVICE))
    wanted = read_targets_packed(other, row, reading)
    torch.testing.assert_close(found.log_probs.cpu(), wanted.log_probs, rtol=0, atol=2e-2)
    assert found.entropy is not None
    assert wanted.entropy is not None
    torch.testing.assert_close(found.entropy.cpu(), wanted.entropy, rtol=0, atol=2e-2)


def test_the_nucleus_holds_its_mass_and_no_token_more() -> None:
    generator = torch.Generator(DEVICE).manual_seed(0)
    logits = torch.randn(300, 50_000, device=DEVICE, generator=generator) * 4
    floor, shares = nucleus_floor(logits, 0.9), logits.double().softmax(-1)
    kept = shares.where(logits >= floor, 0.0).sum(-1)
    without_the_least = shares.where(logits > floor, 0.0).sum(-1)
    assert kept.min() > 0.9 - 1e-4
    assert without_the_least.max() < 0.9 + 1e-4


def test_a_row_longer_than_a_kernels_tile_is_right() -> None:
    model = tiny("Qwen2", max_position_embeddings=2048).to(DEVICE)
    assert prepare_packed(model, torch.bfloat16).kernel is not None
    examples = [example(length, 4, supervised=1.0) for length in (700, 3, 1025)]
    row = pack_row(examples).to(DEVICE)
    with torch.no_grad():
        with autocast():
            found = supervised_log_probs_packed(model, row)
        wanted = padded_log_probs(tiny("Qwen2", max_position_embeddings=2048), examples)
    assert (found.cpu() - wanted).abs().mean() < 0.1


def test_peak_memory_stays_below_that_of_full_logits() -> None:
    hidden = torch.randn(8192, 64, device=DEVICE).requires_grad_()
    weight = torch.randn(65_536, 64, device=DEVICE).requires_grad_()
    labels = torch.randint(65_536, (8192,), device=DEVICE)
    full = 8192 * 65_536 * 4
    for loss in (
        lambda: chunked_loss(hidden, weight, labels, 8192.0, 2**24),
        lambda: -chunked_log_probs(hidden, weight, labels, 2**24).sum(),
        lambda: chunked_token_loss(
            hidden, weight, labels, lambda v, _: -v.sum(), SAMPLED, chunk_logits=2**24
        )[0],
    ):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        loss().backward()
        assert torch.cuda.max_memory_allocated() - before < full / 4


def test_liger_gives_our_loss_and_gradients() -> None:
    if liger_version() is None:
        pytest.skip("liger-kernel is not installed")
    generator = torch.Generator(DEVICE).manual_seed(0)
    hidden = torch.randn(333, 64, device=DEVICE, generator=generator).requires_grad_()
    weight = torch.randn(1024, 64, device=DEVICE, generator=generator).requires_grad_()
    labels = torch.randint(1024, (333,), device=DEVICE, generator=generator)
    for kind, share in ((torch.float32, 1e-4), (torch.bfloat16, 0.02)):
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=kind is torch.bfloat16):
            losses = [form(hidden, weight, labels, 50.0) for form in (chunked_loss, liger_loss)]
        torch.testing.assert_close(losses[0], losses[1], rtol=share, atol=0)
        ours, theirs = (torch.autograd.grad(loss, (hidden, weight)) for loss in losses)
        for mine, other in zip(ours, theirs, strict=True):
            assert (mine - other).norm() < share * mine.norm()


def test_the_projection_is_chosen_by_a_measurement_here() -> None:
    choice = choose_projection(ProjectionSize(2048, 256, 32_000, torch.bfloat16, DEVICE))
    assert "for 2048 positions: " in choice.reason
    assert "torch's operations by chunks" in choice.reason
    assert "fails here" not in choice.reason
