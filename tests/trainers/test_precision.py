"""Every precision: what it keeps in which format, and that a resumed run goes on bit by bit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.config.schema import Supervise, TrainSettings
from core.errors import UserError
from tests.trainers.test_sft import encoded
from trainers.batching import plan_batches
from trainers.checkpoint import TrainerState, restore, save_checkpoint
from trainers.checkpoint_manifest import OPTIMIZER, WEIGHTS
from trainers.optimization import LearningRate, build_optimizer
from trainers.policy import load_policy
from trainers.precision import PRECISIONS, precision_named, training_precision
from trainers.sft import SFT

SETTINGS = TrainSettings(lr=1e-2, steps=8, batch_size=2)
EVERY = list(PRECISIONS)
BYTES = {"float32": 16, "mixed": 16, "stochastic": 8, "bfloat16": 8}


def sft(folder: Path, precision: str, *, quick: bool = True) -> SFT:
    policy = load_policy(folder, device="cpu", precision=precision, quick=quick)
    examples = encoded(policy, Supervise.RESPONSE)
    named = policy.model.named_parameters()
    return SFT(
        policy=policy,
        optimizer=build_optimizer(named, SETTINGS, precision=policy.precision, seed=3),
        learning_rate=LearningRate(1e-2, SETTINGS.schedule, 0.05, 0.1, 8),
        examples=examples,
        plan=plan_batches(examples, SETTINGS, 2, seed=0),
        settings=SETTINGS,
        microbatch_tokens=60,
    )


@pytest.mark.parametrize("name", EVERY)
def test_weights_gradients_and_moments_have_the_formats_of_the_table(
    small_model: Path, name: str
) -> None:
    method, precision = sft(small_model, name), PRECISIONS[name]
    seen: set[torch.dtype] = set()
    method.optimizer.adamw.register_step_pre_hook(
        lambda *_: seen.update(p.grad.dtype for p in method.optimizer.parameters)
    )
    method.update(1)
    assert {p.dtype for p in method.policy.model.parameters()} == {precision.weights}
    assert seen == {precision.gradients}
    moments = {t.dtype for n, t in method.optimizer.tensors().items() if not n.endswith(".step")}
    assert moments == {precision.moments}
    assert precision.state_bytes == BYTES[name]
    assert precision.autocast == (precision.copy_bytes > 0) == (name == "mixed")


@pytest.mark.parametrize("quick", [True, False], ids=["written out", "transformers"])
@pytest.mark.parametrize("name", EVERY)
def test_every_precision_learns(small_model: Path, name: str, quick: bool) -> None:
    method = sft(small_model, name, quick=quick)
    assert (method.policy.passes is not None) == quick
    losses = [method.update(step)["loss"] for step in range(1, 9)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_a_resumed_run_goes_on_bit_by_bit(small_model: Path, tmp_path: Path, name: str) -> None:
    untouched = sft(small_model, name)
    expected = [untouched.update(step)["loss"] for step in range(1, 9)]
    stopped = sft(small_model, name)
    found = [stopped.update(step)["loss"] for step in range(1, 5)]
    path = save_checkpoint(tmp_path, stopped.policy, stopped.optimizer, TrainerState(4))
    precision = PRECISIONS[name]
    assert {t.dtype for t in load_file(path / WEIGHTS).values()} == {precision.weights}
    stored = load_file(path / OPTIMIZER)
    assert {t.dtype for n, t in stored.items() if "exp_avg" in n} == {precision.moments}
    again = sft(path, name)
    restore(path, again.optimizer, again.policy.device)
    found += [again.update(step)["loss"] for step in range(5, 9)]
    assert found == expected
    pairs = zip(untouched.policy.named_weights(), again.policy.named_weights(), strict=True)
    for (key, wanted), (_, weight) in pairs:
        assert torch.equal(weight, wanted), key


def test_bfloat16_weights_begin_as_the_nearest_to_those_of_the_folder(small_model: Path) -> None:
    wide, narrow = (
        dict(load_policy(small_model, device="cpu", precision=name).named_weights())
        for name in ("float32", "stochastic")
    )
    assert all(torch.equal(narrow[key], wide[key].bfloat16()) for key in wide)


def test_auto_is_mixed_on_cuda_and_never_touches_the_weights() -> None:
    assert training_precision("auto", "cuda") == "mixed"
    assert training_precision("auto", "cpu") in ("mixed", "float32")
    assert training_precision("stochastic", "cuda") == "stochastic"


def test_an_unknown_precision_is_answered_with_those_there_are() -> None:
    with pytest.raises(UserError, match="float32, mixed, stochastic, bfloat16 or auto"):
        precision_named("fp8")
