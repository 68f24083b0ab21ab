"""Which projection is taken: by what is installed, what agrees, and what was measured."""

from dataclasses import replace

import pytest
import torch

from trainers.packed import projection_choice
from trainers.packed.liger import liger_loss
from trainers.packed.projection import chunked_loss
from trainers.packed.projection_choice import (
    FORMS,
    Projection,
    ProjectionSize,
    choose_projection,
    time_projections,
)

SIZE = ProjectionSize(8192, 896, 151_936, torch.bfloat16, torch.device("cuda"))
SMALL = ProjectionSize(12, 8, 31, torch.float32, torch.device("cpu"))


TRITON, LIGER = "3.9.0", "0.8.5"


def measured(chunked: float, fused: float | str, liger: float | str):  # type: ignore[no-untyped-def]
    figures = {Projection.CHUNKED: chunked, Projection.FUSED: fused, Projection.LIGER: liger}
    return lambda size, kinds: {kind: figures[kind] for kind in kinds}


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection_choice, "liger_version", lambda: None)
    monkeypatch.setattr(projection_choice, "triton_version", lambda: None)


def test_the_fastest_is_taken_and_all_figures_are_said() -> None:
    choice = choose_projection(SIZE, measured(0.0153, 0.0121, 0.0130), LIGER, TRITON)
    assert (choice.projection, choice.tokens) == (Projection.FUSED, Projection.FUSED)
    assert choice.reason == (
        "fused projection, for 8192 positions: our kernel on Triton 3.9.0 12.10 ms, "
        "torch's operations by chunks 15.30 ms, liger-kernel 0.8.5 13.00 ms"
    )


def test_where_liger_is_fastest_other_losses_still_take_our_kernel() -> None:
    choice = choose_projection(SIZE, measured(0.0153, 0.0121, 0.0110), LIGER, TRITON)
    assert (choice.projection, choice.tokens) == (Projection.LIGER, Projection.FUSED)


@pytest.mark.parametrize("other", [0.0150, 0.0200])
def test_torch_is_kept_where_nothing_is_clearly_faster(other: float) -> None:
    choice = choose_projection(SIZE, measured(0.0153, other, other), LIGER, TRITON)
    assert (choice.projection, choice.tokens) == (Projection.CHUNKED, Projection.CHUNKED)


def test_nothing_is_measured_where_there_is_no_choice() -> None:
    def never(size: ProjectionSize, kinds: object) -> dict[Projection, float | str]:
        raise AssertionError("measured")

    on_cpu = choose_projection(replace(SIZE, device=torch.device("cpu")), never, LIGER, TRITON)
    missing = choose_projection(SIZE, never)
    assert on_cpu.reason == "chunked projection: fused kernels need CUDA, and this is cpu"
    assert missing.reason == "chunked projection: neither Triton nor liger-kernel is installed"
    assert on_cpu.projection is missing.projection is Projection.CHUNKED


def test_what_is_missing_or_fails_is_passed_over_and_said() -> None:
    choice = choose_projection(SIZE, measured(0.0153, "no ptxas", 0.001), None, TRITON)
    assert (choice.projection, choice.tokens) == (Projection.CHUNKED, Projection.CHUNKED)
    assert choice.reason == (
        "chunked projection, for 8192 positions: torch's operations by chunks 15.30 ms, "
        "our kernel on Triton 3.9.0 fails here (no ptxas), liger-kernel is not installed"
    )


EVERY = tuple(Projection)


def test_a_kernel_that_computes_something_else_is_not_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def doubled(hidden, weight, labels, denominator):  # type: ignore[no-untyped-def]
        return 2.0 * chunked_loss(hidden, weight, labels, denominator)

    def broken(hidden, weight, labels, denominator):  # type: ignore[no-untyped-def]
        raise KeyError("no kernel image\nmore lines")

    monkeypatch.setitem(FORMS, Projection.FUSED, doubled)
    monkeypatch.setitem(FORMS, Projection.LIGER, broken)
    figures = time_projections(SMALL, EVERY)
    assert isinstance(figures[Projection.CHUNKED], float)
    assert figures[Projection.FUSED] == "its result differs by 100.0%"
    assert "no kernel image" in str(figures[Projection.LIGER])


def test_a_kernel_that_agrees_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMS, Projection.FUSED, chunked_loss)
    monkeypatch.setitem(FORMS, Projection.LIGER, chunked_loss)
    assert all(isinstance(value, float) for value in time_projections(SMALL, EVERY).values())


def test_what_does_not_fit_is_passed_over_and_the_others_are_still_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_large(hidden, weight, labels, denominator):  # type: ignore[no-untyped-def]
        if len(labels) == large.positions:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return chunked_loss(hidden, weight, labels, denominator)

    def doubled(hidden, weight, labels, denominator):  # type: ignore[no-untyped-def]
        return 2.0 * chunked_loss(hidden, weight, labels, denominator)

    large = replace(SMALL, positions=100)
    monkeypatch.setitem(FORMS, Projection.CHUNKED, too_large)
    monkeypatch.setitem(FORMS, Projection.FUSED, doubled)
    monkeypatch.setitem(FORMS, Projection.LIGER, chunked_loss)
    figures = time_projections(large, EVERY)
    assert "out of memory" in str(figures[Projection.CHUNKED])
    assert figures[Projection.FUSED] == "its result differs by 100.0%"
    assert isinstance(figures[Projection.LIGER], float)


def test_liger_is_called_with_the_sum_divided_here(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        @staticmethod
        def liger_fused_linear_cross_entropy(hidden, weight, labels, *, reduction, accum_dtype):  # type: ignore[no-untyped-def]
            assert (reduction, accum_dtype) == ("sum", torch.float32)
            assert hidden.dtype is weight.dtype is torch.bfloat16
            return torch.nn.functional.cross_entropy(
                (hidden @ weight.T).float(), labels, reduction="sum"
            )

    monkeypatch.setattr("trainers.packed.liger.importlib.import_module", lambda name: Fake)
    hidden, weight = torch.randn(5, 4), torch.randn(7, 4)
    labels = torch.tensor([1, 2, 3, 4, 5])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = liger_loss(hidden, weight, labels, 10.0)
        wanted = chunked_loss(hidden, weight, labels, 10.0)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_liger_refuses_a_denominator_of_zero() -> None:
    with pytest.raises(ValueError, match="positive"):
        liger_loss(torch.zeros(1, 2), torch.zeros(3, 2), torch.zeros(1, dtype=torch.int64), 0.0)
