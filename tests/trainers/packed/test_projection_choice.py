"""liger-kernel or ours: by what is installed, what agrees, and what was measured."""

from dataclasses import replace

import pytest
import torch

from trainers.packed import projection_choice
from trainers.packed.liger import liger_loss
from trainers.packed.projection import chunked_loss
from trainers.packed.projection_choice import (
    Projection,
    ProjectionSize,
    choose_projection,
    time_projections,
)

SIZE = ProjectionSize(8192, 896, 151_936, torch.bfloat16, torch.device("cuda"))
SMALL = ProjectionSize(12, 8, 31, torch.float32, torch.device("cpu"))


def measured(chunked: float, liger: float):  # type: ignore[no-untyped-def]
    return lambda size: {Projection.CHUNKED: chunked, Projection.LIGER: liger}


def test_liger_is_taken_where_it_was_measured_to_be_faster() -> None:
    choice = choose_projection(SIZE, measured(0.0153, 0.0121), "0.8.5")
    assert choice.projection is Projection.LIGER
    assert choice.reason == (
        "liger-kernel is faster here for 8192 positions: liger-kernel 0.8.5 12.10 ms, "
        "chunked 15.30 ms"
    )


@pytest.mark.parametrize("liger", [0.0150, 0.0200])
def test_ours_is_taken_where_liger_is_not_clearly_faster(liger: float) -> None:
    choice = choose_projection(SIZE, measured(0.0153, liger), "0.8.5")
    assert choice.projection is Projection.CHUNKED
    assert "not clearly faster" in choice.reason


def test_nothing_is_measured_where_there_is_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(size: ProjectionSize) -> dict[Projection, float]:
        raise AssertionError("measured")

    on_cpu = choose_projection(replace(SIZE, device=torch.device("cpu")), never, "0.8.5")
    monkeypatch.setattr(projection_choice, "liger_version", lambda: None)
    missing = choose_projection(SIZE, never)
    assert on_cpu.reason == "chunked: liger-kernel needs CUDA, not cpu"
    assert missing.reason == "chunked: liger-kernel is not installed"
    assert on_cpu.projection is missing.projection is Projection.CHUNKED


def test_ours_is_taken_where_liger_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(size: ProjectionSize) -> dict[Projection, float]:
        raise RuntimeError("no kernel image is available\nmore lines")

    choice = choose_projection(SIZE, failing, "0.8.5")
    assert choice.projection is Projection.CHUNKED
    assert choice.reason == "chunked: liger-kernel 0.8.5 fails here (no kernel image is available)"


def test_a_kernel_that_computes_something_else_is_not_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def doubled(hidden, weight, labels, denominator):  # type: ignore[no-untyped-def]
        return 2.0 * chunked_loss(hidden, weight, labels, denominator)

    monkeypatch.setattr(projection_choice, "liger_loss", doubled)
    with pytest.raises(ValueError, match=r"differs from ours by 100\.0%"):
        time_projections(SMALL)


def test_a_kernel_that_agrees_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection_choice, "liger_loss", chunked_loss)
    assert set(time_projections(SMALL)) == set(Projection)


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
