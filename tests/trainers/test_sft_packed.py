"""SFT over packed rows: the updates of padded ones, and every row packed before it is wanted."""

from collections.abc import Sequence

import pytest
import torch

from core.config.schema import TrainSettings
from tests.trainers.packed.models import exact, example, tiny
from tests.trainers.precisions import FLOAT64
from trainers.batching import plan_batches
from trainers.optimization import LearningRate, build_optimizer
from trainers.packed.prepare import prepare_packed
from trainers.packed.row import PackedRow, Tokens, pack_row
from trainers.policy import Policy
from trainers.sft import SFT

EXAMPLES = [example(length, seed) for seed, length in enumerate((9, 30, 5, 14, 22, 7, 11, 3))]
STEPS = 4


class Told:
    """A feed that writes down what it is told, and says of each row whether it was."""

    def __init__(self) -> None:
        self.coming: set[tuple[int, ...]] = set()
        self.surprises = 0

    def ahead(self, microbatches: Sequence[Sequence[Tokens]]) -> None:
        self.coming = {tuple(map(id, part)) for part in microbatches}

    def take(self, examples: Sequence[Tokens]) -> PackedRow:
        self.surprises += tuple(map(id, examples)) not in self.coming
        return pack_row(examples)


def sft(*, packed: bool) -> SFT:
    model = exact(tiny("Qwen2"))
    policy = Policy(model, None, torch.device("cpu"), FLOAT64)
    if packed:
        policy.packing = prepare_packed(model, torch.float64)
        assert policy.packed
    else:
        policy.tokenizer = type("Tokenizer", (), {"pad_token_id": 0, "eos_token_id": 2})()
    settings = TrainSettings(lr=1e-2, steps=STEPS)
    return SFT(
        policy=policy,
        optimizer=build_optimizer(model.named_parameters(), settings),
        learning_rate=LearningRate(1e-2, settings.schedule, 0.0, 0.1, STEPS),
        examples=EXAMPLES,
        plan=plan_batches(EXAMPLES, settings, 5, seed=0),
        settings=settings,
        microbatch_tokens=40,
    )


def curve(method: SFT) -> list[tuple[float, float]]:
    found = []
    for step in range(1, STEPS + 1):
        metrics = method.update(step)
        assert metrics["padding_share"] == 0 or not method.policy.packed
        found.append((metrics["loss"], metrics["grad_norm"]))
    return found


def test_updates_equal_those_of_padded_rows() -> None:
    for found, wanted in zip(curve(sft(packed=True)), curve(sft(packed=False)), strict=True):
        assert found == pytest.approx(wanted, rel=1e-9)


def test_every_row_is_told_before_it_is_taken_and_the_next_update_before_this_one_ends() -> None:
    method, feed = sft(packed=True), Told()
    method.policy._feed = feed  # type: ignore[assignment]
    for step in range(1, STEPS + 1):
        method.update(step)
        if step == STEPS:
            break
        batch = [EXAMPLES[index] for index in method.plan.batch(step + 1)]
        coming = method.policy.split_apart(batch, method.microbatch_tokens)
        assert feed.coming == {tuple(map(id, part)) for part in coming}
    assert feed.surprises == 0
