"""One DPO update equals the naive one: full logits, torch's own graph, float64."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from core.config.methods import DpoSettings, PreferenceLoss
from core.config.schema import TrainSettings
from tests.trainers.fast.reference import logits as plain_logits
from tests.trainers.packed.models import VOCABULARY, exact, tiny
from tests.trainers.precisions import FLOAT64
from trainers.batching import plan_batches
from trainers.dpo import DPO
from trainers.fast.passes import written_out
from trainers.optimization import LearningRate, build_optimizer
from trainers.packed.prepare import prepare_packed
from trainers.pair_batches import PairExample, response_log_probs, split_pairs
from trainers.policy import Policy
from trainers.tokenization import Example

PATHS = ["written-out", "packed", "padded"]
LENGTHS = [(9, 4, 11), (9, 12, 3), (4, 1, 1), (20, 6, 6), (3, 9, 17)]
"""Tokens of the prompt, of the chosen response and of the rejected one, pair by pair."""


def example(name: str, prompt: Sequence[int], response: Sequence[int]) -> Example:
    ids = (*prompt, *response)
    marks = (*[False] * len(prompt), *[True] * len(response))
    return Example(name, ids, marks, len(prompt), len(ids))


def made_pairs() -> list[PairExample]:
    draw, pairs = random.Random(3), []
    for index, (prompt, chosen, rejected) in enumerate(LENGTHS):
        ids = [5, 6, *(draw.randrange(3, VOCABULARY) for _ in range(prompt - 2))]
        sides = [
            example(f"p{index}", ids, [draw.randrange(3, VOCABULARY) for _ in range(length)])
            for length in (chosen, rejected)
        ]
        pairs.append(PairExample(*sides))
    return pairs


def policy_on(path: str) -> Policy:
    model = exact(tiny("Qwen2"))
    tokenizer = SimpleNamespace(pad_token_id=0, eos_token_id=0)
    policy = Policy(model, tokenizer, torch.device("cpu"), FLOAT64)
    if path == "written-out":
        policy.passes, _ = written_out(model, torch.float64)
    if path == "packed":
        policy.packing = prepare_packed(model, torch.float64)
    return policy


def naive_log_probs(policy: Policy, pairs: Sequence[PairExample]) -> Tensor:
    """(P, 2) with a gradient, one response after another."""
    rows = []
    for pair in pairs:
        for side in (pair.chosen, pair.rejected):
            ids, lengths = torch.tensor([side.token_ids]), torch.tensor([len(side.token_ids) - 1])
            inputs = ids[:, :-1]
            if policy.passes is not None:
                # transformers rounds rotary angles to float32 where the written-out passes do not
                logits = plain_logits(policy.model, inputs, lengths)
            else:
                logits = policy.model(input_ids=inputs, use_cache=False).logits
            table = torch.log_softmax(logits[0], -1)
            places = range(side.prompt_length, len(side.token_ids))
            rows.append(sum(table[place - 1, side.token_ids[place]] for place in places))
    return torch.stack(rows).view(-1, 2)


def naive_loss(log_probs: Tensor, reference: Tensor, settings: DpoSettings) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for (chosen, rejected), (ref_chosen, ref_rejected) in zip(log_probs, reference, strict=True):
        h = (chosen - rejected) - (ref_chosen - ref_rejected)
        if settings.loss is PreferenceLoss.IPO:
            right, turned = (h - 0.5 / settings.beta) ** 2, (-h - 0.5 / settings.beta) ** 2
        else:
            right = torch.log1p(torch.exp(-settings.beta * h))
            turned = torch.log1p(torch.exp(settings.beta * h))
        s = settings.label_smoothing
        total = total + (1 - s) * right + s * turned
    return total / len(log_probs)


def moved(policy: Policy) -> None:
    """Another policy than the reference."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.02 * noise)


def method(
    policy: Policy,
    pairs: Sequence[PairExample],
    reference: Tensor,
    settings: DpoSettings,
    budget: int,
) -> DPO:
    train = TrainSettings(lr=1e-3, steps=1, clip_norm=1e9)
    return DPO(
        policy=policy,
        optimizer=build_optimizer(policy.model.named_parameters(), train),
        learning_rate=LearningRate(0.0, train.schedule, 0.0, 0.1, 1),
        pairs=pairs,
        reference=reference,
        plan=plan_batches(pairs, train, len(pairs), seed=0),
        settings=settings,
        microbatch_tokens=budget,
    )


def gradients_of_an_update(dpo: DPO) -> tuple[dict[str, float], dict[str, Tensor]]:
    named, seen = list(dpo.policy.model.named_parameters()), {}
    handle = dpo.optimizer.adamw.register_step_pre_hook(
        lambda *_: seen.update({name: p.grad.clone() for name, p in named if p.grad is not None})
    )
    metrics = dpo.update(1)
    handle.remove()
    return metrics, seen


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("budget", [1, 60, 10_000])
@pytest.mark.parametrize(
    "settings",
    [
        DpoSettings(beta=0.3),
        DpoSettings(beta=0.1, label_smoothing=0.2),
        DpoSettings(beta=0.2, loss=PreferenceLoss.IPO),
        DpoSettings(beta=2.0, loss=PreferenceLoss.IPO, label_smoothing=0.1),
    ],
    ids=["sigmoid", "smoothed", "ipo", "ipo smoothed"],
)
def test_an_update_has_the_naive_loss_and_gradient_however_it_is_split(
    path: str, budget: int, settings: DpoSettings
) -> None:
    policy, pairs = policy_on(path), made_pairs()
    reference = response_log_probs(policy, split_pairs(policy, pairs, budget))
    torch.testing.assert_close(
        reference, naive_log_probs(policy, pairs).detach(), rtol=1e-10, atol=1e-10
    )
    moved(policy)
    log_probs = naive_log_probs(policy, pairs)
    loss = naive_loss(log_probs, reference, settings)
    loss.backward()
    expected = {n: p.grad for n, p in policy.model.named_parameters() if p.grad is not None}
    policy.model.zero_grad(set_to_none=True)
    metrics, found = gradients_of_an_update(method(policy, pairs, reference, settings, budget))
    assert metrics["loss"] == pytest.approx(float(loss.detach()), rel=1e-10, abs=1e-10)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-10, atol=1e-10, msg=name)
    gains = (log_probs.detach() - reference) * settings.beta
    assert metrics["reward_chosen"] == pytest.approx(float(gains[:, 0].mean()))
    assert metrics["reward_rejected"] == pytest.approx(float(gains[:, 1].mean()))
    assert metrics["margin"] == pytest.approx(float((gains[:, 0] - gains[:, 1]).mean()))
    assert metrics["preference_accuracy"] == float((gains[:, 0] > gains[:, 1]).double().mean())
    assert metrics["log_prob_chosen"] == pytest.approx(float(log_probs[:, 0].mean().detach()))


def test_a_prompt_is_computed_once_for_all_pairs_of_its_problem() -> None:
    policy, pairs = policy_on("written-out"), made_pairs()
    whole = split_pairs(policy, pairs, 10_000)
    assert sorted(place for part in whole for place in part.places.tolist()) == list(range(10))
    alone = split_pairs(policy, pairs[3:4], 64)
    assert [len(part.examples) for part in alone] == [2]
    reference = response_log_probs(policy, alone)
    metrics = method(policy, pairs[3:4], reference, DpoSettings(), 64).update(1)
    # the prompt of 20 tokens is fed once, but for its last token, behind which targets begin
    assert metrics["tokens"] == 52
    assert metrics["shared_fraction"] == pytest.approx(19 / 50)
    twice = [pairs[3], PairExample(*(replace(side) for side in (pairs[3].rejected,) * 2))]
    reference = response_log_probs(policy, split_pairs(policy, twice, 200))
    metrics = method(policy, twice, reference, DpoSettings(), 200).update(1)
    assert metrics["shared_fraction"] == pytest.approx(3 * 19 / 100)


def test_a_budget_below_every_response_takes_pairs_apart() -> None:
    parts = split_pairs(policy_on("written-out"), made_pairs(), 1)
    assert [len(part.examples) for part in parts] == [1] * 10


def test_the_first_loss_is_that_of_an_undecided_policy() -> None:
    policy, pairs = policy_on("written-out"), made_pairs()
    reference = response_log_probs(policy, split_pairs(policy, pairs, 100))
    metrics, _ = gradients_of_an_update(method(policy, pairs, reference, DpoSettings(), 60))
    assert metrics["loss"] == pytest.approx(math.log(2), abs=1e-12)
    assert metrics["margin"] == pytest.approx(0.0, abs=1e-12)
    same = method(policy, pairs, reference, DpoSettings(), 60)
    same.reference = response_log_probs(policy, split_pairs(policy, pairs, 60))
    assert same.update(1)["preference_accuracy"] == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("loss", list(PreferenceLoss))
def test_training_prefers_what_was_chosen(loss: PreferenceLoss) -> None:
    policy, pairs = policy_on("written-out"), made_pairs()
    reference = response_log_probs(policy, split_pairs(policy, pairs, 100))
    settings = DpoSettings(beta=0.1, loss=loss)
    dpo = method(policy, pairs, reference, settings, 100)
    train = TrainSettings(lr=1e-3, steps=20)
    dpo.plan = plan_batches(pairs, train, len(pairs), seed=0)
    dpo.learning_rate = LearningRate(3e-3, train.schedule, 0.05, 0.1, 20)
    first, *_, last = [dpo.update(step) for step in range(1, 21)]
    assert last["loss"] < 0.7 * first["loss"]
    assert last["margin"] > 0.3
    assert last["preference_accuracy"] == 1.0
