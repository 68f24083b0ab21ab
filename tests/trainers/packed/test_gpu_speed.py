"""What only a GPU can show of the quick passes: kernels are right, and nothing waits or piles up.

Written for torch 2.11 or newer with transformers 5 and the Triton that torch brings.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from core.config.methods import LossType
from core.config.schema import Attention
from core.errors import UserError
from tests.trainers.packed.models import example, loss_and_gradients, tiny
from trainers.activation_checkpointing import set_activation_checkpointing
from trainers.compile_setup import copy_rate
from trainers.grpo_loss import WatchedLoss
from trainers.logit_rules import LogitRules
from trainers.objectives import PolicyGradientLoss, SftLoss
from trainers.packed.choice import find_installed
from trainers.packed.compiled import graphs, restore_layers, try_compiled
from trainers.packed.feed import RowFeed
from trainers.packed.forward import supervised_loss_packed
from trainers.packed.fused_loss import fused_loss, fused_token_loss, triton_version
from trainers.packed.head_gradients import add_product, adds_wide
from trainers.packed.kernels import Kernel
from trainers.packed.prepare import prepare_packed
from trainers.packed.projection import chunked_loss, chunked_token_loss
from trainers.packed.row import pack_row
from trainers.policy import Policy
from trainers.precision import MIXED
from trainers.reading import Reading

pytestmark = pytest.mark.gpu
DEVICE = torch.device("cuda")
WARM = LogitRules(temperature=0.7)


@pytest.fixture(autouse=True)
def needs_triton() -> None:
    if triton_version() is None:
        pytest.skip("Triton is not installed")


def policy(**settings: Any) -> Policy:
    model = tiny("Qwen2", max_position_embeddings=2048, **settings).to(DEVICE)
    made = Policy(model, None, DEVICE, MIXED)
    made.packing = prepare_packed(model, MIXED.compute)
    assert made.packed, made.packing.reason
    return made


@contextmanager
def nothing_waits() -> Iterator[None]:
    """Reading a value from the device is an error within."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def grpo_loss(count: int) -> WatchedLoss:
    values = torch.linspace(-1, 1, count, dtype=torch.float64)
    weights, old = torch.full_like(values, 1 / count), torch.full_like(values, -2.0)
    loss = PolicyGradientLoss(
        LossType.GRPO_CLIP, values, weights, old, 0.2, 0.2, reference_log_probs=old, kl=0.1
    )
    return WatchedLoss(loss, old, 2.0)


@pytest.mark.parametrize("columns", [31, 5003, 151_936])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_row_kernel_equals_float64(
    columns: int, dtype: torch.dtype, temperature: float
) -> None:
    from trainers.packed.row_kernel import read_and_write, read_rows, write_gradient

    generator = torch.Generator(DEVICE).manual_seed(columns)
    logits = (torch.randn(257, columns, device=DEVICE, generator=generator) * 4).to(dtype)
    logits[1, 3], logits[2, 4] = 19.0, 30.0
    labels = torch.randint(columns, (257,), device=DEVICE, generator=generator)
    labels[1], labels[2] = 3, 7
    slopes = torch.randn(257, device=DEVICE, generator=generator)
    exact = logits.double() / temperature
    log_shares = exact.log_softmax(-1)
    wanted = log_shares.gather(1, labels[:, None])[:, 0]
    entropies = -(log_shares.exp() * log_shares).sum(-1)
    pulled = -log_shares.exp() * slopes[:, None].double() / temperature
    pulled.scatter_add_(1, labels[:, None], slopes[:, None].double() / temperature)
    kept = logits.clone()
    totals, log_probs, entropy = read_rows(logits, labels, temperature=temperature, entropy=True)
    assert torch.equal(logits, kept)
    assert entropy is not None
    torch.testing.assert_close(log_probs.double(), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy.double(), entropies, rtol=1e-4, atol=1e-5)
    write_gradient(logits, labels, slopes, totals, log_probs, temperature=temperature)
    share = 1e-4 if dtype is torch.float32 else 0.01
    apart = (logits.double() - pulled).norm(dim=1)
    assert (apart <= share * pulled.norm(dim=1) + 1e-5).all()
    at_once, _ = read_and_write(kept, labels, slopes, temperature=temperature)
    assert torch.equal(at_once, log_probs)
    torch.testing.assert_close(kept, logits, rtol=0.01, atol=1e-6)


def test_a_chunk_larger_than_32_bit_offsets_is_written_to_its_end() -> None:
    from trainers.packed.row_kernel import read_and_write

    columns = 151_936
    rows = 2**31 // columns + 3
    if torch.cuda.mem_get_info()[0] < 10 * 2**30:
        pytest.skip("needs 10 GiB of free GPU memory")
    logits = torch.zeros(rows, columns, device=DEVICE, dtype=torch.bfloat16)
    labels = torch.full((rows,), columns - 1, device=DEVICE)
    log_probs, _ = read_and_write(logits, labels, torch.ones(rows, device=DEVICE))
    assert (log_probs + torch.tensor(float(columns)).log().item()).abs().max() < 1e-3
    assert logits[-1, -1] == 1.0
    assert logits[-1, 0] < 0


@pytest.mark.parametrize("half", [False, True])
def test_fused_losses_have_the_gradients_of_chunked_ones(half: bool) -> None:
    generator = torch.Generator(DEVICE).manual_seed(0)
    hidden = torch.randn(333, 64, device=DEVICE, generator=generator).requires_grad_()
    weight = torch.randn(5003, 64, device=DEVICE, generator=generator).requires_grad_()
    labels = torch.randint(5003, (333,), device=DEVICE, generator=generator)
    share = 0.02 if half else 1e-4

    def uneven(log_probs: Tensor, places: Tensor) -> Tensor:
        return ((places + 1) * (log_probs + 0.1 * log_probs.square())).sum() / 1000

    reading = Reading(WARM, entropy=True)
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=half):
        pairs = [
            [form(hidden, weight, labels, 50.0, 2**19) for form in (fused_loss, chunked_loss)],
            [
                form(hidden, weight, labels, uneven, reading, 2**19)[0]
                for form in (fused_token_loss, chunked_token_loss)
            ],
        ]
    for losses in pairs:
        torch.testing.assert_close(*losses, rtol=share, atol=0)
        ours, theirs = (torch.autograd.grad(loss, (hidden, weight)) for loss in losses)
        for mine, other in zip(ours, theirs, strict=True):
            assert (mine - other).norm() < share * other.norm()


def test_products_are_added_to_float32_sums() -> None:
    generator = torch.Generator(DEVICE).manual_seed(0)
    left, right = (
        torch.randn(shape, device=DEVICE, generator=generator).bfloat16()
        for shape in ((300, 128), (300, 64))
    )
    total = torch.randn(128, 64, device=DEVICE, generator=generator)
    wanted = total.double() + left.double().T @ right.double()
    add_product(total, left.T, right)
    share = 1e-5 if adds_wide(DEVICE) else 0.01
    assert (total.double() - wanted).norm() < share * wanted.norm()


def test_a_pass_never_holds_all_logits() -> None:
    made = policy(vocab_size=151_936)
    examples = [example(1024, seed, supervised=1.0) for seed in range(32)]
    positions = 32 * 1023
    made.accumulate(examples[:2], SftLoss(1.0))
    made.model.zero_grad(set_to_none=True)
    for entropy in (False, True):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        made.accumulate(examples, SftLoss(1.0), WARM, entropy=entropy)
        peak = torch.cuda.max_memory_allocated() - before
        assert peak < positions * 151_936 * 2, made.how
        made.model.zero_grad(set_to_none=True)


def test_nothing_waits_for_the_device_in_a_pass() -> None:
    made = policy()
    examples = [example(length, 1) for length in (9, 300, 5, 77)]
    count = sum(one.supervised_count for one in examples)

    def passes() -> list[Any]:
        made.ahead([examples])
        return [
            made.accumulate(examples, SftLoss(float(count))),
            made.accumulate(examples, grpo_loss(count), WARM, entropy=True),
            made.log_probs(examples, WARM, entropy=True).log_probs,
        ]

    passes()  # kernels are chosen and compiled
    with nothing_waits():
        done = passes()
    assert all(isinstance(part.loss, Tensor) for part in done[:2])
    assert all(torch.isfinite(part.loss) for part in done[:2])


def test_rows_of_the_thread_are_those_packed_on_the_spot() -> None:
    parts = [[example(length, seed) for length in (9, 40)] for seed in range(4)]
    feed = RowFeed(DEVICE)
    feed.ahead(parts)
    for part in parts:
        found, wanted = feed.take(part), pack_row(part)
        for name in ("ids", "position_ids", "cu_seqlens", "supervised", "labels"):
            assert torch.equal(getattr(found, name).cpu(), getattr(wanted, name)), name


@pytest.mark.parametrize("checkpointed", [False, True])
def test_compiled_layers_give_what_the_layers_give(checkpointed: bool) -> None:
    made = policy()
    assert made.packing is not None
    kernel = made.packing.kernel
    assert kernel is not None
    set_activation_checkpointing(made.model, on=checkpointed)
    lengths = ((9, 300, 5), (12, 7), (410,), (3, 3, 200, 8, 8, 21))
    rows = [pack_row([example(one, 1) for one in each]).to(DEVICE) for each in lengths]

    def gradients() -> list[tuple[Tensor, Tensor]]:
        found = []
        for row in rows:
            with torch.autocast("cuda", dtype=torch.bfloat16):
                loss = supervised_loss_packed(made.model, row, 9.0)
            value, each = loss_and_gradients(made.model, loss)
            found.append((value, torch.cat([part.flatten() for part in each.values()])))
        return found

    wanted = gradients()
    verdict = try_compiled(made.model, kernel, torch.bfloat16, 1024)
    assert verdict.on, verdict.reason
    found = gradients()
    made_graphs = graphs()
    restore_layers(made.model)
    for (loss, mine), (other_loss, other) in zip(found, wanted, strict=True):
        torch.testing.assert_close(loss, other_loss, rtol=0.01, atol=0)
        assert (mine - other).norm() < 0.1 * other.norm()
    assert made_graphs <= 2


def test_a_kernel_that_is_asked_for_is_had_or_refused() -> None:
    model = tiny("Qwen2").to(DEVICE)
    for attention, kernels in (
        (Attention.FLASH, (Kernel.FLASH_ATTN,)),
        (Attention.VARLEN, (Kernel.VARLEN, Kernel.VARLEN_REPEATED)),
        (Attention.SDPA, (Kernel.BLOCKS,)),
    ):
        if attention is Attention.FLASH and find_installed(DEVICE).flash_attn is None:
            with pytest.raises(UserError, match="flash-attn is not installed"):
                prepare_packed(model, torch.bfloat16, wanted=attention)
        else:
            assert prepare_packed(model, torch.bfloat16, wanted=attention).kernel in kernels


def test_the_rate_of_copies_is_that_of_a_gpu() -> None:
    assert 5e10 < copy_rate(DEVICE) < 2e13
