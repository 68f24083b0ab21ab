"""Preferences: losses and slopes of pairs, and the loss of one pair through a model, at 1e-10."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.config.methods import PreferenceLoss
from core.errors import UserError
from core.models import load_tokenizer
from tests.models import write_model
from tests.trainers.objectives.reference import normal
from trainers.objectives import (
    WeightedLogProbLoss,
    per_instance_dpo_loss,
    preference_coefficients,
    preference_losses,
)

ALPACA = Path("../shared/data/prompts/alpaca_sft.prompt")
SETTINGS = (
    st.integers(1, 5),
    st.integers(0, 10_000),
    st.floats(0.01, 2.0),
    st.sampled_from([0.0, 0.1, 0.4]),
)


def pair_loss(margin: float, beta: float, loss: PreferenceLoss) -> tuple[float, float]:
    """Loss of one pair and its derivative by the margin, in plain Python."""
    if loss is PreferenceLoss.SIGMOID:
        likely = 1 / (1 + math.exp(-beta * margin))
        return -math.log(likely), -beta * (1 - likely)
    return (margin - 0.5 / beta) ** 2, 2 * (margin - 0.5 / beta)


@pytest.mark.parametrize("loss", PreferenceLoss)
@settings(max_examples=60, deadline=None)
@given(*SETTINGS)
def test_losses_and_slopes_equal_plain_loops_and_autograd(
    loss: PreferenceLoss, count: int, seed: int, beta: float, smoothing: float
) -> None:
    chosen, rejected, ref_chosen, ref_rejected = normal(4, count, seed=seed, spread=5.0)
    terms = preference_coefficients(
        chosen, rejected, ref_chosen, ref_rejected, beta, loss, smoothing
    )
    margins = terms.margins.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(
        preference_losses(margins, beta, loss, smoothing).sum(), margins
    )
    assert terms.slopes.tolist() == pytest.approx(slopes.tolist(), abs=1e-10)
    for i in range(count):
        gain = (chosen[i] - ref_chosen[i]).item()
        other = (rejected[i] - ref_rejected[i]).item()
        right, right_slope = pair_loss(gain - other, beta, loss)
        wrong, wrong_slope = pair_loss(other - gain, beta, loss)
        value = (1 - smoothing) * right + smoothing * wrong
        slope = (1 - smoothing) * right_slope - smoothing * wrong_slope
        assert terms.margins[i].item() == pytest.approx(gain - other, abs=1e-10)
        assert terms.losses[i].item() == pytest.approx(value, abs=1e-10)
        assert terms.slopes[i].item() == pytest.approx(slope, abs=1e-10)
        assert terms.chosen_rewards[i].item() == pytest.approx(beta * gain, abs=1e-10)
        assert terms.rejected_rewards[i].item() == pytest.approx(beta * other, abs=1e-10)


def test_a_policy_that_equals_its_reference_loses_log_two() -> None:
    same = normal(3, seed=1)
    terms = preference_coefficients(same, -same, same, -same, beta=0.1)
    assert terms.losses.tolist() == pytest.approx([math.log(2)] * 3, abs=1e-12)
    assert terms.slopes.tolist() == pytest.approx([-0.05] * 3, abs=1e-12)


def test_huge_margins_stay_finite() -> None:
    margins = torch.tensor([-1e5, 1e5], dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.float64)
    terms = preference_coefficients(margins, zero, zero, zero, beta=1.0)
    assert terms.losses.tolist() == pytest.approx([1e5, 0.0])
    assert terms.slopes.tolist() == pytest.approx([-1.0, 0.0])


def test_ipo_is_at_rest_where_the_margin_is_half_of_one_over_beta() -> None:
    margin = torch.tensor([5.0], dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    terms = preference_coefficients(margin, zero, zero, zero, 0.1, PreferenceLoss.IPO)
    assert (terms.losses.item(), terms.slopes.item()) == pytest.approx((0.0, 0.0))


@pytest.mark.parametrize("loss", PreferenceLoss)
@settings(max_examples=15, deadline=None)
@given(*SETTINGS)
def test_a_second_pass_with_weights_equals_autograd_over_full_logits(
    loss: PreferenceLoss, pairs: int, seed: int, beta: float, smoothing: float
) -> None:
    logits = normal(pairs, 2, 4, 6, seed=seed).requires_grad_()  # pair, response, token, vocabulary
    labels = torch.randint(0, 6, (pairs, 2, 4), generator=torch.Generator().manual_seed(seed))
    reference = normal(pairs, 2, seed=seed + 1)
    shares = logits.exp() / logits.exp().sum(dim=-1, keepdim=True)
    log_probs = shares.gather(-1, labels[..., None])[..., 0].log()
    gains = log_probs.sum(dim=-1) - reference
    margins = gains[:, 0] - gains[:, 1]
    (expected,) = torch.autograd.grad(
        preference_losses(margins, beta, loss, smoothing).mean(), logits, retain_graph=True
    )
    terms = preference_coefficients(*log_probs.sum(dim=-1).T, *reference.T, beta, loss, smoothing)
    weights = torch.stack([-terms.slopes, terms.slopes], dim=1) / pairs
    second = WeightedLogProbLoss(weights[..., None].expand(pairs, 2, 4).reshape(-1))
    flat = log_probs.reshape(-1)
    (found,) = torch.autograd.grad(second(flat, torch.arange(len(flat))), logits)
    assert torch.allclose(found, expected, rtol=0, atol=1e-10)


class RunningSums(torch.nn.Module):
    """A causal model in float64 throughout: it guesses from the sum of what it has read."""

    def __init__(self, vocabulary: int, seed: int) -> None:
        super().__init__()
        self.embedding = torch.nn.Parameter(normal(vocabulary, 8, seed=seed, spread=0.3))
        self.head = torch.nn.Parameter(normal(8, vocabulary, seed=seed + 1, spread=0.3))

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.embedding[input_ids].cumsum(dim=1).tanh() @ self.head)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    """A policy, a reference, and their tokenizer."""
    tokenizer = load_tokenizer(write_model(tmp_path_factory.mktemp("preference") / "model"))
    return RunningSums(len(tokenizer), seed=1), RunningSums(len(tokenizer), seed=5), tokenizer


PAIR = ("How many apples?", "Tom has 17.", "Max has 3 cakes.")


def sequence_log_prob(model: Any, ids: list[int]) -> Tensor:
    """Of all tokens but the first, the prompt's too: those cancel between the two responses."""
    shares = model(torch.tensor([ids])).logits[0].exp()
    shares = shares / shares.sum(dim=-1, keepdim=True)
    return sum(shares[place, ids[place + 1]].log() for place in range(len(ids) - 1))


def reference_dpo_loss(
    policy: Any, reference: Any, chosen: list[int], rejected: list[int]
) -> Tensor:
    margin = sequence_log_prob(policy, chosen) - sequence_log_prob(policy, rejected)
    margin = margin - (
        sequence_log_prob(reference, chosen) - sequence_log_prob(reference, rejected)
    )
    return -(1 / (1 + (-0.5 * margin).exp())).log()


def in_instruction_template(tokenizer: Any, response: str) -> list[int]:
    prompt = (
        "You are given a task. Carry it out and write down your answer.\n\n"
        f"### Instruction:\n{PAIR[0]}\n\n### Response:\n"
    )
    return [*tokenizer.encode(prompt), *tokenizer.encode(response), tokenizer.eos_token_id]


def as_it_is(tokenizer: Any, response: str) -> list[int]:
    return [*tokenizer.encode(PAIR[0]), *tokenizer.encode(response)]


@pytest.mark.parametrize(
    ("template", "ids_of"), [("instruction", in_instruction_template), ("plain", as_it_is)]
)
def test_the_loss_of_one_pair_and_its_gradients_equal_full_sequences(
    models: tuple[Any, Any, Any], template: str, ids_of: Callable[[Any, str], list[int]]
) -> None:
    policy, reference, tokenizer = models
    found = per_instance_dpo_loss(policy, reference, tokenizer, 0.5, *PAIR, template=template)
    chosen, rejected = (ids_of(tokenizer, response) for response in PAIR[1:])
    expected = reference_dpo_loss(policy, reference, chosen, rejected)
    assert found.item() == pytest.approx(expected.item(), abs=1e-10)
    parameters = list(policy.parameters())
    gradients = torch.autograd.grad(found, parameters)
    for gradient, known in zip(gradients, torch.autograd.grad(expected, parameters), strict=True):
        assert torch.allclose(gradient, known, rtol=0, atol=1e-10)


def test_the_instruction_template_is_the_default_and_the_reference_gets_no_gradient(
    models: tuple[Any, Any, Any],
) -> None:
    policy, reference, tokenizer = models
    default = per_instance_dpo_loss(policy, reference, tokenizer, 0.5, *PAIR)
    named = per_instance_dpo_loss(policy, reference, tokenizer, 0.5, *PAIR, template="instruction")
    assert torch.equal(default, named)
    default.backward()
    assert all(parameter.grad is None for parameter in reference.parameters())
    policy.zero_grad()


class Recording(torch.nn.Module):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(512, dtype=torch.float64))
        self.asked: list[list[int]] = []

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        self.asked += input_ids.tolist()
        return SimpleNamespace(logits=self.bias.expand(*input_ids.shape, 512))


def asked_with(template: str, tokenizer: Any) -> list[str]:
    model = Recording()
    per_instance_dpo_loss(model, model, tokenizer, 0.5, *PAIR, template=template)
    return [tokenizer.decode(ids) for ids in model.asked[:2]]


def test_a_template_file_keeps_what_follows_the_response_but_not_its_last_newline(
    models: tuple[Any, Any, Any], tmp_path: Path
) -> None:
    file = tmp_path / "mine.prompt"
    file.write_text("Q: {question}\nA: {response} (end)\n", encoding="utf-8")
    # the last token, EOS, is a label only
    assert asked_with(str(file), models[2]) == [
        f"Q: {PAIR[0]}\nA: {response} (end)" for response in PAIR[1:]
    ]


def test_the_courses_own_template_ends_with_the_response(models: tuple[Any, Any, Any]) -> None:
    if not ALPACA.is_file():
        pytest.skip("the course's prompts are not beside this repository")
    head = ALPACA.read_text(encoding="utf-8").removesuffix("{response}\n")
    prompt = head.replace("{instruction}", PAIR[0])
    assert asked_with(str(ALPACA), models[2]) == [prompt + response for response in PAIR[1:]]


def test_an_unknown_template_is_a_users_mistake(models: tuple[Any, Any, Any]) -> None:
    with pytest.raises(UserError, match="neither a built-in template"):
        per_instance_dpo_loss(*models, 0.5, *PAIR, template="alpacca")


def test_a_tokenizer_without_eos_cannot_end_a_response(models: tuple[Any, Any, Any]) -> None:
    policy, reference, _ = models
    with pytest.raises(ValueError, match="no EOS token"):
        per_instance_dpo_loss(policy, reference, SimpleNamespace(eos_token_id=None), 0.5, *PAIR)


def test_a_prompt_without_tokens_is_refused(models: tuple[Any, Any, Any]) -> None:
    with pytest.raises(ValueError, match="without tokens"):
        per_instance_dpo_loss(*models, 0.5, "", "a", "b", template="plain")
