"""Which attention kernel is taken, told apart by what is installed and what works."""

from dataclasses import replace

import pytest
import torch

from core.config.schema import Attention
from core.errors import UserError
from trainers.packed.choice import (
    AttentionNeed,
    Installed,
    Trial,
    choose_kernel,
    find_installed,
    try_kernel,
)
from trainers.packed.kernels import (
    ATTENTION,
    Kernel,
    PackedAttention,
    block_attention,
    load_varlen,
    repeated_varlen_attention,
    varlen_attention,
    varlen_options,
)

NEED = AttentionNeed(torch.device("cuda"), torch.bfloat16, 14, 2, 64, 64**-0.5)
EVERYTHING = Installed(flash_attn="2.8.3", torch_varlen="2.13.0", capability=(9, 0))


def works(kernel: Kernel, need: AttentionNeed) -> str | None:
    return None


def test_flash_attn_is_taken_where_it_is_installed_and_works() -> None:
    choice = choose_kernel(NEED, EVERYTHING, works)
    assert choice.kernel is Kernel.FLASH_ATTN
    assert choice.reason == "flash-attn 2.8.3 works on this GPU"


def test_torch_is_taken_where_flash_attn_is_missing() -> None:
    choice = choose_kernel(NEED, replace(EVERYTHING, flash_attn=None), works)
    assert choice.kernel is Kernel.VARLEN
    assert choice.reason == (
        "torch varlen attention 2.13.0 works on this GPU; flash-attn is not installed"
    )


def test_torch_is_taken_where_flash_attn_is_installed_and_fails() -> None:
    def broken(kernel: Kernel, need: AttentionNeed) -> str | None:
        return "fails here (undefined symbol)" if kernel is Kernel.FLASH_ATTN else None

    choice = choose_kernel(NEED, EVERYTHING, broken)
    assert choice.kernel is Kernel.VARLEN
    assert "flash-attn 2.8.3 fails here (undefined symbol)" in choice.reason


def test_key_heads_are_repeated_where_torch_cannot_share_them() -> None:
    def shares_nothing(kernel: Kernel, need: AttentionNeed) -> str | None:
        return None if kernel is Kernel.VARLEN_REPEATED else "fails here (heads)"

    choice = choose_kernel(NEED, EVERYTHING, shares_nothing)
    assert choice.kernel is Kernel.VARLEN_REPEATED


def test_with_as_many_key_heads_as_query_heads_nothing_is_repeated() -> None:
    tried: list[Kernel] = []

    def failing(kernel: Kernel, need: AttentionNeed) -> str | None:
        tried.append(kernel)
        return "fails here (anything)"

    choice = choose_kernel(replace(NEED, key_heads=14), EVERYTHING, failing)
    assert choice.kernel is Kernel.BLOCKS
    assert tried == [Kernel.FLASH_ATTN, Kernel.VARLEN]


def test_with_no_kernel_at_all_every_example_gets_a_call_of_its_own() -> None:
    choice = choose_kernel(NEED, Installed(None, None, (9, 0)), works)
    assert choice.kernel is Kernel.BLOCKS
    assert "torch varlen attention is not installed" in choice.reason


@pytest.mark.parametrize(
    ("need", "capability", "reason"),
    [
        (replace(NEED, device=torch.device("cpu")), None, "need CUDA, and this is cpu"),
        (replace(NEED, device=torch.device("mps")), None, "need CUDA, and this is mps"),
        (NEED, (7, 5), "compute capability 8.0, and this is 7.5"),
        (replace(NEED, dtype=torch.float32), (9, 0), "half precision, and this model in float32"),
        (replace(NEED, head_size=288), (9, 0), "up to 256 divisible by 8, and this model has 288"),
        (replace(NEED, head_size=20), (9, 0), "up to 256 divisible by 8, and this model has 20"),
    ],
)
def test_kernels_are_not_tried_where_they_cannot_work(
    need: AttentionNeed, capability: tuple[int, int] | None, reason: str
) -> None:
    def never(kernel: Kernel, need: AttentionNeed) -> str | None:
        raise AssertionError("tried")

    choice = choose_kernel(need, replace(EVERYTHING, capability=capability), never)
    assert choice.kernel is Kernel.BLOCKS
    assert reason in choice.reason


def test_one_kernel_alone_can_be_asked_for() -> None:
    def wanted(attention: Attention, trial: Trial = works) -> Kernel:
        return choose_kernel(NEED, EVERYTHING, trial, attention).kernel

    def shares_nothing(kernel: Kernel, need: AttentionNeed) -> str | None:
        return None if kernel is Kernel.VARLEN_REPEATED else "fails here (heads)"

    assert wanted(Attention.FLASH) is Kernel.FLASH_ATTN
    assert wanted(Attention.VARLEN) is Kernel.VARLEN
    assert wanted(Attention.VARLEN, shares_nothing) is Kernel.VARLEN_REPEATED
    assert wanted(Attention.SDPA) is Kernel.BLOCKS


def test_one_that_is_asked_for_and_does_not_work_is_refused_with_the_reason() -> None:
    def broken(kernel: Kernel, need: AttentionNeed) -> str | None:
        return "fails here (undefined symbol)"

    with pytest.raises(UserError) as found:
        choose_kernel(NEED, EVERYTHING, broken, Attention.FLASH)
    assert str(found.value) == (
        "train.attention flash does not work here: flash-attn 2.8.3 fails here (undefined "
        "symbol); use --attention auto"
    )
    narrow = replace(NEED, head_size=20)
    with pytest.raises(UserError, match="varlen does not work here: variable-length kernels take"):
        choose_kernel(narrow, EVERYTHING, works, Attention.VARLEN)
    assert choose_kernel(narrow, EVERYTHING, works, Attention.SDPA).kernel is Kernel.BLOCKS


def test_what_is_installed_is_found_without_a_gpu() -> None:
    found = find_installed(torch.device("cpu"))
    assert found.capability is None
    assert found.torch_varlen in (None, torch.__version__)


ON_CPU = AttentionNeed(torch.device("cpu"), torch.float32, 4, 2, 8, 0.5)


def test_a_trial_accepts_a_kernel_that_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ATTENTION, Kernel.VARLEN, block_attention)
    assert try_kernel(Kernel.VARLEN, ON_CPU) is None


def test_a_trial_finds_a_kernel_that_reads_across_examples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crossing(query, key, value, ends, longest, scale):  # type: ignore[no-untyped-def]
        whole = torch.tensor([0, len(query)], dtype=torch.int32)
        return block_attention(query, key, value, whole, len(query), scale)

    monkeypatch.setitem(ATTENTION, Kernel.VARLEN, crossing)
    assert "computes something else" in str(try_kernel(Kernel.VARLEN, ON_CPU))


def test_a_trial_finds_a_kernel_whose_gradient_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(query, key, value, ends, longest, scale):  # type: ignore[no-untyped-def]
        mixed = block_attention(query, key, value, ends, longest, scale)
        return 0.5 * mixed + 0.5 * mixed.detach()

    monkeypatch.setitem(ATTENTION, Kernel.VARLEN, half)
    assert "computes something else" in str(try_kernel(Kernel.VARLEN, ON_CPU))


def test_a_trial_of_a_missing_package_says_what_is_missing() -> None:
    if find_installed(torch.device("cpu")).flash_attn is not None:
        pytest.skip("flash-attn is installed")
    assert try_kernel(Kernel.FLASH_ATTN, ON_CPU) == "fails here (No module named 'flash_attn')"


def test_torch_is_told_causal_scale_and_shared_heads_in_the_words_of_its_version() -> None:
    of_2_13 = frozenset({"query", "scale", "window_size", "enable_gqa"})
    of_2_11 = frozenset({"query", "scale", "window_size"})
    of_2_10 = frozenset({"query", "is_causal"})
    usual = 64**-0.5
    causal = {"window_size": (-1, 0), "scale": usual}
    assert varlen_options(of_2_13, usual, 64, grouped=True) == {**causal, "enable_gqa": True}
    assert varlen_options(of_2_13, usual, 64, grouped=False) == causal
    assert varlen_options(of_2_11, usual, 64, grouped=True) == causal
    assert varlen_options(of_2_10, usual, 64, grouped=False) == {"is_causal": True}
    with pytest.raises(ValueError, match="takes no scale"):
        varlen_options(of_2_10, 0.25, 64, grouped=False)


def test_the_installed_torch_speaks_one_of_the_known_forms() -> None:
    pytest.importorskip("torch.nn.attention.varlen")
    assert varlen_options(load_varlen()[1], 0.125, 64, grouped=True)


@pytest.mark.parametrize("attend", [varlen_attention, repeated_varlen_attention])
def test_torch_accepts_the_call_with_fewer_key_heads(attend: PackedAttention) -> None:
    pytest.importorskip("torch.nn.attention.varlen")
    # without a GPU the kernel cannot run, but tensors without values pass through its checks
    query, key = (torch.empty(9, heads, 64, device="meta").bfloat16() for heads in (14, 2))
    ends = torch.empty(3, dtype=torch.int32, device="meta")
    mixed = attend(query, key, key, ends, 5, 0.125)
    assert (mixed.shape, mixed.dtype) == (query.shape, query.dtype)
