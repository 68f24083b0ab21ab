"""Which tokens can be sampled, and with what probability."""

import math

import pytest
import torch

from core.engines.base import Sampling
from core.engines.hf_decoding import keep_nucleus
from trainers.logit_rules import (
    PLAIN,
    LogitRules,
    constrain,
    early_targets,
    nucleus_floor,
    rules_of,
)
from trainers.tokenization import Example


def log_probs_of(shares: list[float], rules: LogitRules, label: int = 0, **more: object) -> list:
    logits = torch.tensor([shares], dtype=torch.float64).log()
    early = torch.tensor([True]) if more.get("early") else None
    return constrain(logits, torch.tensor([label]), rules, early).log_softmax(-1)[0].exp().tolist()


def response(*ids: int, prompt: int = 2, supervised: tuple[bool, ...] | None = None) -> Example:
    marks = supervised or (False,) * prompt + (True,) * len(ids)
    return Example("p", (8,) * prompt + ids, marks, prompt, prompt + len(ids))


def test_a_temperature_divides_the_logits() -> None:
    found = log_probs_of([0.5, 0.3, 0.2], LogitRules(temperature=0.5))
    assert found == pytest.approx([0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38])


def test_the_nucleus_is_the_smallest_set_of_its_mass() -> None:
    shares = [0.06, 0.5, 0.14, 0.3]
    assert log_probs_of(shares, LogitRules(top_p=0.7), 1) == pytest.approx([0, 0.625, 0, 0.375])
    assert log_probs_of(shares, LogitRules(top_p=0.9), 1) == pytest.approx(
        [0, 0.5 / 0.94, 0.14 / 0.94, 0.3 / 0.94]
    )


def test_the_likeliest_token_is_always_in_the_nucleus() -> None:
    assert log_probs_of([0.2, 0.8], LogitRules(top_p=1e-9), 1) == pytest.approx([0, 1])


def test_a_label_outside_of_the_nucleus_joins_it() -> None:
    found = log_probs_of([0.06, 0.5, 0.14, 0.3], LogitRules(top_p=0.7), 0)
    assert found == pytest.approx([0.06 / 0.86, 0.5 / 0.86, 0, 0.3 / 0.86])


def test_ends_are_impossible_where_they_come_too_early() -> None:
    rules = LogitRules(min_tokens=4, end_ids=(1, 3))
    shares = [0.06, 0.5, 0.14, 0.3]
    assert log_probs_of(shares, rules) == pytest.approx(shares)
    assert log_probs_of(shares, rules, early=True) == pytest.approx([0.3, 0, 0.7, 0])


def test_ends_are_struck_before_the_nucleus_is_taken() -> None:
    rules = LogitRules(top_p=0.6, min_tokens=4, end_ids=(1,))
    found = log_probs_of([0.1, 0.6, 0.1, 0.2], rules, 3, early=True)
    assert found == pytest.approx([1 / 4, 0, 1 / 4, 1 / 2])  # 0.2 of 0.4 is not 0.6 of it yet


def test_the_temperature_comes_before_the_nucleus() -> None:
    # at temperature 0.5 the first holds 25/38, so that it alone has 0.6 of the mass
    found = log_probs_of([0.5, 0.3, 0.2], LogitRules(temperature=0.5, top_p=0.6))
    assert found == pytest.approx([1, 0, 0])


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999])
def test_the_nucleus_is_that_of_the_transformers_engine(top_p: float) -> None:
    logits = torch.randn(64, 300, generator=torch.Generator().manual_seed(3)) * 3
    expected = keep_nucleus(logits, top_p) > -math.inf
    assert torch.equal(logits >= nucleus_floor(logits, top_p), expected)


def test_sorting_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(50, 40, generator=torch.Generator().manual_seed(3))
    whole = nucleus_floor(logits, 0.8)
    monkeypatch.setattr("trainers.logit_rules._SORTED", {"cpu": 7 * 40})
    assert torch.equal(nucleus_floor(logits, 0.8), whole)


def test_early_are_the_first_tokens_of_a_response() -> None:
    rules = LogitRules(min_tokens=2, end_ids=(1,))
    found = early_targets([response(5, 5, 5, 1), response(5, 5, prompt=4)], rules)
    assert found is not None
    assert found.tolist() == [True, True, False, False, True, True]


def test_early_counts_from_the_prompt_even_where_targets_are_left_out() -> None:
    rules = LogitRules(min_tokens=2, end_ids=(1,))
    marks = (False, False, False, True, True)
    found = early_targets([response(5, 5, 5, supervised=marks)], rules)
    assert found is not None
    assert found.tolist() == [True, False]


@pytest.mark.parametrize(
    "rules", [PLAIN, LogitRules(min_tokens=2), LogitRules(end_ids=(1,)), LogitRules(top_p=0.5)]
)
def test_without_a_minimum_or_without_ends_no_target_is_early(rules: LogitRules) -> None:
    assert early_targets([response(5, 1)], rules) is None


def test_a_response_that_ends_too_early_was_sampled_under_other_rules() -> None:
    rules = LogitRules(min_tokens=4, end_ids=(1,))
    assert early_targets([response(5, 5, 5, 5, 1)], rules) is not None
    with pytest.raises(ValueError, match=r"ends with token 4, .* before token 5"):
        early_targets([response(5, 5, 5, 1)], rules)


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"min_tokens": -1}, "min_tokens"),
    ],
)
def test_what_no_engine_can_do_is_refused(setting: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        LogitRules(**setting)


def test_rules_of_an_engines_settings() -> None:
    sampling = Sampling(temperature=0.7, top_p=0.9, min_tokens=4)
    assert rules_of(sampling, [0, 3]) == LogitRules(0.7, 0.9, 4, (0, 3))
    assert rules_of(Sampling(temperature=0.0, top_p=0.9), [0]) == LogitRules(end_ids=(0,))
    assert rules_of(Sampling(temperature=1.0), [0]).plain
