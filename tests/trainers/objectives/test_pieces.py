"""The pieces of losses, against independent float64 references written with plain loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.objectives import (
    compute_entropy,
    get_response_log_probs,
    k3_divergence,
    masked_mean,
    masked_normalize,
    token_log_probs,
)


class FixedLogits(torch.nn.Module):
    """A causal 'model' that returns the same logits whatever it is asked."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, input_ids: torch.Tensor) -> "FixedLogits":
        return self


def reference_log_softmax(row: list[float]) -> list[float]:
    top = max(row)
    total = sum(math.exp(value - top) for value in row)
    return [value - top - math.log(total) for value in row]


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_entropy_equals_the_sum_over_the_vocabulary(logits: torch.Tensor) -> None:
    entropy = compute_entropy(logits)
    for b in range(3):
        for t in range(5):
            logs = reference_log_softmax(logits[b, t].tolist())
            assert entropy[b, t].item() == pytest.approx(
                -sum(math.exp(x) * x for x in logs), abs=1e-12
            )


def test_entropy_of_certainty_is_zero_and_of_ignorance_log_v() -> None:
    certain = torch.tensor([0.0, -torch.inf, -torch.inf], dtype=torch.float64)
    assert compute_entropy(certain).item() == 0.0
    assert compute_entropy(torch.zeros(8, dtype=torch.float64)).item() == pytest.approx(math.log(8))


def test_entropy_survives_huge_logits() -> None:
    assert torch.isfinite(compute_entropy(torch.tensor([1e30, 0.0, -1e30]))).all()


def test_log_probs_pick_the_label(logits: torch.Tensor) -> None:
    labels = torch.randint(0, 7, (3, 5), generator=torch.Generator().manual_seed(2))
    found = token_log_probs(logits, labels)
    for b in range(3):
        for t in range(5):
            expected = reference_log_softmax(logits[b, t].tolist())[int(labels[b, t])]
            assert found[b, t].item() == pytest.approx(expected, abs=1e-12)


def test_response_log_probs_come_with_entropy_only_when_asked(logits: torch.Tensor) -> None:
    model, labels = FixedLogits(logits), torch.zeros(3, 5, dtype=torch.int64)
    assert set(get_response_log_probs(model, labels, labels)) == {"log_probs"}
    both = get_response_log_probs(model, labels, labels, return_token_entropy=True)
    assert torch.equal(both["token_entropy"], compute_entropy(model.logits))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 10_000), st.sampled_from([None, 0, 1]))
def test_masked_reductions_equal_plain_loops(
    rows: int, width: int, seed: int, dim: int | None
) -> None:
    generator = torch.Generator().manual_seed(seed)
    tensor = torch.randn(rows, width, dtype=torch.float64, generator=generator)
    mask = torch.rand(rows, width, generator=generator) < 0.6
    cells = [(r, c) for r in range(rows) for c in range(width)]
    groups = {None: [cells], 0: [[x for x in cells if x[1] == c] for c in range(width)]}
    groups[1] = [[x for x in cells if x[0] == r] for r in range(rows)]
    sums = [sum(tensor[x].item() for x in group if mask[x]) for group in groups[dim]]
    counts = [sum(bool(mask[x]) for x in group) for group in groups[dim]]
    normalized = masked_normalize(tensor, mask, 3.0, dim).reshape(-1)
    means = masked_mean(tensor, mask, dim).reshape(-1)
    for index, (total, count) in enumerate(zip(sums, counts, strict=True)):
        assert normalized[index].item() == pytest.approx(total / 3.0, abs=1e-12)
        if count:
            assert means[index].item() == pytest.approx(total / count, abs=1e-12)
        else:
            assert math.isnan(means[index].item())


def test_masked_positions_do_not_poison_the_sum() -> None:
    tensor = torch.tensor([1.0, float("nan"), float("inf")])
    assert masked_normalize(tensor, torch.tensor([1, 0, 0]), 1.0).item() == 1.0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(0, 10_000), st.sampled_from([1e-9, 1.0, 5.0]))
def test_k3_and_its_slope_equal_plain_loops(count: int, seed: int, spread: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    policy = torch.randn(count, dtype=torch.float64, generator=generator)
    reference = policy + spread * torch.randn(count, dtype=torch.float64, generator=generator)
    policy.requires_grad_()
    found = k3_divergence(policy, reference)
    found.sum().backward()
    assert policy.grad is not None
    for p, q, value, slope in zip(
        policy.tolist(), reference.tolist(), found.tolist(), policy.grad.tolist(), strict=True
    ):
        assert value == pytest.approx(math.exp(q - p) - (q - p) - 1, abs=1e-10)
        assert slope == pytest.approx(1 - math.exp(q - p), abs=1e-10)
        assert value >= 0


def test_k3_averages_to_the_kl_divergence() -> None:
    logits = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    policy, reference = torch.log_softmax(logits, dim=-1)
    expected = (policy.exp() * (policy - reference)).sum()
    averaged = (policy.exp() * k3_divergence(policy, reference)).sum()
    assert averaged.item() == pytest.approx(expected.item(), abs=1e-12)
