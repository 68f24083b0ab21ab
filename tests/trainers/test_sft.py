"""One SFT update equals the naive one: padded batch, full logits, attention mask, float64."""

from pathlib import Path

import pytest
import torch

from core.config.schema import Normalization, Supervise, TrainSettings
from trainers.batching import plan_batches
from trainers.objectives import token_log_probs
from trainers.optimization import LearningRate, build_optimizer
from trainers.policy import Policy, load_policy
from trainers.sft import SFT
from trainers.tokenization import IGNORED, Example, collate, encode_example

TEXTS = [
    ("Tom has 3 apples.", " 3 + 14 = 17 </think> <answer> 17 </answer>"),
    (
        "A train goes 60 miles in 2 hours; how fast is it?",
        " 60 / 2 = 30 </think> <answer> 30 </answer>",
    ),
    ("?", " 1 </think> <answer> 1 </answer>"),
    (
        "Lea sells 12 cakes for 7 dollars each.",
        " 12 * 7 = 84, so 84 </think> <answer> 84 </answer>",
    ),
    ("Max", " 5 </think> <answer> 5 </answer>"),
]


def encoded(policy: Policy, supervise: Supervise) -> list[Example]:
    return [
        encode_example(f"p{i}", prompt, target, policy.tokenizer, supervise=supervise)
        for i, (prompt, target) in enumerate(TEXTS)
    ]


def naive_loss(policy: Policy, examples: list[Example], settings: TrainSettings) -> torch.Tensor:
    ids, labels = collate(examples, 0)
    lengths = torch.tensor([len(e.token_ids) - 1 for e in examples])
    attention = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    logits = policy.model(input_ids=ids, attention_mask=attention).logits
    mask = labels != IGNORED
    log_probs = token_log_probs(logits, labels.clamp(min=0))
    denominator = (
        float(mask.sum())
        if settings.normalization is Normalization.TOKENS
        else settings.normalize_constant * len(examples)
    )
    return -torch.where(mask, log_probs, 0.0).sum() / denominator


def method(policy: Policy, examples: list[Example], settings: TrainSettings, budget: int) -> SFT:
    return SFT(
        policy=policy,
        optimizer=build_optimizer(policy.model.named_parameters(), settings),
        learning_rate=LearningRate(0.0, settings.schedule, 0.0, 0.1, 1),
        examples=examples,
        plan=plan_batches(examples, settings, len(examples), seed=0),
        settings=settings,
        microbatch_tokens=budget,
    )


@pytest.mark.parametrize("supervise", list(Supervise))
@pytest.mark.parametrize("normalization", list(Normalization))
@pytest.mark.parametrize("budget", [1, 60, 10_000])
def test_an_update_has_the_naive_loss_and_gradient(
    policy: Policy, supervise: Supervise, normalization: Normalization, budget: int
) -> None:
    policy.model.double()
    settings = TrainSettings(
        lr=1e-3, steps=1, normalization=normalization, normalize_constant=7.0, clip_norm=1e9
    )
    examples = encoded(policy, supervise)
    expected = naive_loss(policy, examples, settings)
    expected.backward()
    gradients = {
        n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None
    }
    policy.model.zero_grad()
    sft = method(policy, examples, settings, budget)
    seen: dict[str, torch.Tensor] = {}
    handle = sft.optimizer.adamw.register_step_pre_hook(
        lambda *_: seen.update({n: p.grad.clone() for n, p in policy.model.named_parameters()})
    )
    metrics = sft.update(1)
    handle.remove()
    # transformers computes its norms in float32 even in a float64 model: that bounds the agreement
    assert metrics["loss"] == pytest.approx(float(expected.detach()), rel=1e-6)
    for name, gradient in gradients.items():
        assert (seen[name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-9, name


def test_chunks_of_the_projection_change_nothing(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, labels = collate(encoded(policy, Supervise.RESPONSE), 0)
    whole = policy.read_targets(ids, labels)[0]
    monkeypatch.setattr("trainers.packed.head_gradients.CHUNK_LOGITS", {"cpu": 400 * 3})
    parts = policy.read_targets(ids, labels)[0]
    assert torch.allclose(whole, parts, atol=1e-6)
    parts.sum().backward()


def test_training_lowers_the_loss_and_reports_its_shares(policy: Policy) -> None:
    settings = TrainSettings(lr=1e-2, steps=20)
    examples = encoded(policy, Supervise.RESPONSE)
    sft = method(policy, examples, settings, 10_000)
    sft.learning_rate = LearningRate(1e-2, settings.schedule, 0.05, 0.1, 20)
    first, *_, last = [sft.update(step) for step in range(1, 21)]
    assert last["loss"] < 0.5 * first["loss"]
    tokens = sum(len(e.token_ids) for e in examples)
    assert first["tokens"] == tokens
    assert first["supervised_fraction"] == sum(e.supervised_count for e in examples) / tokens
    assert first["padding_share"] == 0.0
    # the five prompts begin with four different tokens, so nothing is shared in a whole batch
    assert first["shared_fraction"] == 0.0


def test_models_without_written_out_passes_train_the_same_way(small_model: Path) -> None:
    settings = TrainSettings(lr=1e-2, steps=20)
    curves = []
    for written_out in (True, False):
        policy = load_policy(small_model, device="cpu", precision="float32")
        if not written_out:
            policy.passes = None
        sft = method(policy, encoded(policy, Supervise.RESPONSE), settings, 60)
        sft.learning_rate = LearningRate(1e-2, settings.schedule, 0.05, 0.1, 20)
        curves.append([sft.update(step) for step in range(1, 6)])
    for ours, theirs in zip(*curves, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)
        assert theirs["padding_share"] > 0
