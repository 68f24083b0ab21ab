"""Numbers read off logits keep their digits, also where logits come in bfloat16."""

import math

import pytest
import torch

from tests.trainers.sampled import sampled
from trainers.logit_rules import PLAIN, LogitRules
from trainers.reading import Reading, read, value_and_slope
from trainers.tokenization import Example

RULES = [PLAIN, LogitRules(temperature=0.6), LogitRules(top_p=0.8), LogitRules(0.7, 0.9)]


def drawn(step: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits without equals, which bfloat16 holds exactly."""
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randperm(50, generator=generator) for _ in range(30)]
    return torch.stack(rows) * step, torch.randint(50, (30,), generator=generator)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("step", [0.0625, 0.25, 1.0])
def test_narrow_logits_are_read_in_float32(
    rules: LogitRules, dtype: torch.dtype, step: float
) -> None:
    logits, labels = drawn(step)
    one = Example("p", (0, *labels.tolist()), (False,) + (True,) * 30, 1, 31)
    wanted, entropies = sampled(logits.double()[None], [one], rules)
    shares, found = read(logits.to(dtype), labels, Reading(rules, entropy=True))
    assert shares.dtype is found.log_probs.dtype is torch.float32
    torch.testing.assert_close(found.log_probs, wanted.float(), rtol=3e-7, atol=1e-5)
    torch.testing.assert_close(found.entropy, entropies.float(), rtol=1e-6, atol=1e-6)


def test_a_certain_token_has_an_entropy_of_nearly_nothing() -> None:
    logits = torch.tensor([[300.0, 280.0, 0.0]])
    _, found = read(logits, torch.tensor([0]), Reading(entropy=True))
    share = math.exp(-20)
    assert found.entropy is not None
    # 1e-7 is one unit in the last place of a logit's logarithm; 300 has units of 3e-5
    assert float(found.entropy) == pytest.approx(share * 21, abs=1e-7)


def test_equal_logits_at_the_border_of_a_nucleus_all_stay() -> None:
    logits = torch.tensor([[2.0, 1.0, 1.0, 1.0, -3.0]], dtype=torch.bfloat16)
    shares, _ = read(logits, torch.tensor([0]), Reading(LogitRules(top_p=0.6)))
    assert (shares[0] > 0).tolist() == [True, True, True, True, False]


def test_plain_logits_are_left_as_they_are() -> None:
    logits, labels = drawn(0.25)
    before = logits.clone()
    read(logits, labels, Reading(entropy=True))
    assert torch.equal(logits, before)


def test_the_slope_is_that_of_each_target() -> None:
    places = torch.tensor([4, 7])
    value, slope = value_and_slope(
        lambda log_probs, at: (at * log_probs**2).sum(), torch.tensor([-1.0, -3.0]), places
    )
    assert float(value) == 4 + 63
    assert slope.tolist() == [-8.0, -42.0]
