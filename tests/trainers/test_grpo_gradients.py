"""One update of GRPO against the formula written out over full logits, in float64."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.config.methods import GrpoSettings, LengthNormalization
from core.config.schema import TrainSettings
from tests.rollouts import batch, right
from tests.trainers.precisions import FLOAT64
from trainers.grpo import score
from trainers.grpo_batch import ScoredBatch
from trainers.grpo_gradients import Gradients
from trainers.grpo_source import Sampled
from trainers.logit_rules import LogitRules
from trainers.optimization import build_optimizer
from trainers.policy import Policy, load_policy

WRONG = " so it is 7 </think> <answer> 7 </answer>"
MIXED = batch([[right(42), WRONG, WRONG], [right(42)] * 3, [WRONG, right(42), right(42)]])
IDLE = batch([[WRONG] * 3, [right(42)] * 3])
CAP = 20
TRAIN = TrainSettings()
RULES = LogitRules(temperature=0.7, min_tokens=2, end_ids=(0,))


@pytest.fixture
def exact(small_model: Path) -> Policy:
    return in_float64(small_model)


def in_float64(folder: Path) -> Policy:
    policy = load_policy(folder, device="cpu", precision="float32", quick=False)
    policy.model.double()
    policy.precision = FLOAT64
    return policy


def scored(sampled: Any = MIXED, **settings: Any) -> ScoredBatch:
    settings = {"rollout_batch": len(sampled.rollouts), **settings}
    return score(Sampled(sampled), GrpoSettings(**settings), CAP)


def gradients(policy: Policy, reference: Policy | None = None) -> Gradients:
    def load() -> Policy:
        assert reference is not None, "no reference may be loaded"
        return reference

    return Gradients(policy, RULES, load, microbatch_tokens=60)


def taken(policy: Policy) -> list[Tensor]:
    found = [p.grad.clone() for p in policy.model.parameters()]
    policy.model.zero_grad(set_to_none=True)
    return found


def assert_close(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def log_probs(policy: Policy, found: ScoredBatch, row: int) -> Tensor:
    """Of one response, one token after another, under temperature and min_tokens."""
    example = found.examples[row]
    logits = policy.model(torch.tensor([example.token_ids])).logits[0] / RULES.temperature
    values = []
    for place in range(example.prompt_length, len(example.token_ids)):
        scores = logits[place - 1]
        if place - example.prompt_length < RULES.min_tokens:
            scores = scores[1:]  # id 0 ends a response
            values.append(scores.log_softmax(-1)[example.token_ids[place] - 1])
        else:
            values.append(scores.log_softmax(-1)[example.token_ids[place]])
    return torch.stack(values)


def moved(policy: Policy, by: float = 0.004) -> None:
    """Weights as some updates later."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter += by * noise * parameter.std()


@pytest.mark.parametrize("normalization", list(LengthNormalization))
def test_an_on_policy_update_needs_no_old_log_probs(
    exact: Policy, normalization: LengthNormalization
) -> None:
    found, work = scored(length_normalization=normalization), gradients(exact)
    assert work.compare(found, 1) is False
    assert "old" not in found.sampled.tensors
    figures = work.accumulate(found, found.learning(1, 0), 1)
    got = taken(exact)
    assert figures["ratio_max"] == 1.0
    assert figures["clip_fraction"] == 0.0
    weights = found.learning(1, 0).weights
    loss = sum(
        -weights[row] * found.advantages[row] * log_probs(exact, found, row).sum()
        for row in range(len(found.examples))
    )
    loss.backward()
    assert_close(got, taken(exact))


@pytest.mark.parametrize("loss", ["grpo_clip", "grpo_no_clip", "reinforce_with_baseline"])
def test_a_later_update_follows_the_whole_formula(small_model: Path, loss: str) -> None:
    policy, reference = in_float64(small_model), in_float64(small_model)
    moved(reference, 0.003)
    found = scored(
        train_batch=3,
        loss=loss,
        clip_low=0.05,
        clip_high=0.1,
        kl=0.3,
        tis_cap=1.5,
    )
    work = gradients(policy, reference)
    assert work.compare(found, 1) is True
    old = [log_probs(policy, found, row).detach() for row in range(9)]
    assert work.compare(found, 1) is False, "once for all updates of the batch"
    moved(policy)
    learning = found.learning(2, 0)
    figures = work.accumulate(found, learning, 2)
    got = taken(policy)
    total, clipped, kls, gaps = torch.zeros((), dtype=torch.float64), [], [], []
    for row in learning.computed:
        now = log_probs(policy, found, row)
        anchor = log_probs(reference, found, row).detach()
        engine = torch.tensor(MIXED.rollouts[row].engine_logprobs, dtype=torch.float64)
        advantage, ratio = found.advantages[row], (now - old[row]).exp()
        terms = advantage * ratio
        if loss == "grpo_clip":
            bounded = advantage * ratio.clamp(0.95, 1.1)
            clipped.append(bounded < terms)
            terms = torch.minimum(terms, bounded)
        if loss == "reinforce_with_baseline":
            terms = advantage * now
        importance = (old[row] - engine).exp().clamp(max=1.5)
        k3 = (anchor - now).exp() - (anchor - now) - 1
        kls.append(k3.detach())
        gaps.append((old[row] - engine).abs())
        total = total + learning.weights[row] * (-importance * terms + 0.3 * k3).sum()
    total.backward()
    assert_close(got, taken(policy))
    assert figures["loss"] == pytest.approx(float(total.detach()), abs=1e-10)
    assert figures["kl"] == pytest.approx(float(torch.cat(kls).mean()))
    assert figures["engine_gap"] == pytest.approx(float(torch.cat(gaps).mean()))
    assert figures["engine_gap_max"] == pytest.approx(float(torch.cat(gaps).max()))
    if clipped:
        assert 0 < figures["clip_fraction"] < 1
        assert figures["clip_fraction"] == pytest.approx(float(torch.cat(clipped).double().mean()))


def test_importance_weights_need_no_old_log_probs_on_policy(exact: Policy) -> None:
    on_policy, work = scored(tis_cap=1.2), gradients(exact)
    work.compare(on_policy, 1)
    work.accumulate(on_policy, on_policy.learning(1, 0), 1)
    got = taken(exact)
    spans = on_policy.spans
    given = torch.cat([log_probs(exact, on_policy, row).detach() for row in range(9)])
    assert len(given) == spans[-1].stop
    on_policy.sampled.tensors["old"] = given
    work.accumulate(on_policy, on_policy.learning(1, 0), 1)
    assert_close(got, taken(exact))


@pytest.mark.parametrize("train_batch", [None, 3])
def test_skipping_zero_advantages_gives_the_same_gradient_in_fewer_tokens(
    exact: Policy, train_batch: int | None
) -> None:
    seen = []
    for skip in (True, False):
        found, work = scored(skip_zero_advantage=skip, train_batch=train_batch), gradients(exact)
        work.compare(found, 1)
        updates = [
            (work.accumulate(found, found.learning(step, 0), step), taken(exact))
            for step in range(1, found.settings.updates_per_rollout + 1)
        ]
        seen.append(updates)
    for (quick, got), (slow, expected) in zip(*seen, strict=True):
        assert_close(got, expected)
        assert quick["loss"] == pytest.approx(slow["loss"], abs=1e-10)
    assert sum(u["tokens"] for u, _ in seen[0]) < sum(u["tokens"] for u, _ in seen[1])


def test_an_update_without_gradient_moves_the_weights_like_a_computed_zero(
    small_model: Path,
) -> None:
    ends = []
    for skip in (True, False):
        policy = in_float64(small_model)
        optimizer = build_optimizer(policy.model.named_parameters(), TRAIN)
        work = gradients(policy)
        for number, sampled in enumerate((MIXED, IDLE)):
            found = scored(sampled, skip_zero_advantage=skip)
            work.accumulate(found, found.learning(1, 0), number + 1)
            optimizer.update(1e-3)
        ends.append([p.detach().clone() for p in policy.model.parameters()])
    assert_close(*ends)


def test_what_nobody_will_ask_for_is_not_computed(exact: Policy) -> None:
    found, work = scored(train_batch=3), gradients(exact)
    assert work.compare(found, 1)
    old, spans = found.sampled.tensors["old"], found.spans
    for row in range(9):
        assert bool(old[spans[row]].isnan().all()) is (3 <= row < 6), "the group of equal rewards"


def test_written_out_passes_agree_with_the_padded_ones(small_model: Path, exact: Policy) -> None:
    quick = load_policy(small_model, device="cpu", precision="float32")
    assert quick.passes is not None
    found = scored(train_batch=3)
    work = gradients(quick)
    work.compare(found, 1)
    figures = work.accumulate(found, found.learning(1, 0), 1)
    again, padded = scored(train_batch=3), gradients(exact)
    padded.compare(again, 1)
    expected = padded.accumulate(again, again.learning(1, 0), 1)
    for name in ("loss", "entropy", "engine_gap", "engine_gap_max"):
        assert figures[name] == pytest.approx(expected[name], abs=1e-4)
    for one, other in zip(taken(quick), taken(exact), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-4)
