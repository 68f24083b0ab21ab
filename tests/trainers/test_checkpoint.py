"""Checkpoints: whole or absent, damage is found, and training goes on bit by bit the same."""

import errno
import random
from pathlib import Path

import pytest
import torch

from core.config.schema import Supervise, TrainSettings
from core.errors import UserError
from tests.trainers.test_sft import encoded, method
from trainers.checkpoint import (
    TrainerState,
    checkpoint_step,
    checkpoints,
    damage,
    find_checkpoint,
    newest_whole,
    prune,
    restore,
    save_checkpoint,
)
from trainers.optimization import LearningRate
from trainers.policy import Policy, load_policy
from trainers.sft import SFT

SETTINGS = TrainSettings(lr=1e-2, steps=8, batch_size=2)


def trained(policy: Policy, steps: int) -> SFT:
    sft = method(policy, encoded(policy, Supervise.RESPONSE), SETTINGS, 200)
    sft.learning_rate = LearningRate(1e-2, SETTINGS.schedule, 0.05, 0.1, 8)
    for step in range(1, steps + 1):
        sft.update(step)
    return sft


def test_training_continues_bit_by_bit(policy: Policy, tmp_path: Path) -> None:
    sft = trained(policy, 4)
    random.seed(5)
    path = save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(4, 400, 1.5))
    expected = [sft.update(step)["loss"] for step in range(5, 9)], random.random(), torch.rand(1)
    reloaded = load_policy(path, device="cpu", dtype="float32")
    again = trained(reloaded, 0)
    state = restore(path, again.optimizer, reloaded.device)
    assert state == TrainerState(4, 400, 1.5)
    assert [again.update(step)["loss"] for step in range(5, 9)] == expected[0]
    assert random.random() == expected[1]
    assert torch.equal(torch.rand(1), expected[2])
    for a, b in zip(sft.policy.model.parameters(), reloaded.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_only_weights_lie_beside_the_config(policy: Policy, tmp_path: Path) -> None:
    sft = trained(policy, 1)
    path = save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(1))
    assert [file.name for file in path.glob("*.safetensors")] == ["model.safetensors"]


def test_damage_is_found_and_skipped(policy: Policy, tmp_path: Path) -> None:
    sft = trained(policy, 1)
    older = save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(1))
    newer = save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(2))
    assert newest_whole(tmp_path) == (newer, {})
    weights = newer / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    assert "model.safetensors has changed" in (damage(newer) or "")
    found, skipped = newest_whole(tmp_path)
    assert found == older
    assert list(skipped) == [newer]
    with pytest.raises(UserError, match="checkpoint 2 of run r is damaged"):
        find_checkpoint(tmp_path, 2, "r")
    (older / "config.json").unlink()
    assert newest_whole(tmp_path)[0] is None


def test_a_full_disk_leaves_nothing_half_written(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sft = trained(policy, 1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("trainers.durable._write", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(1))
    assert list(tmp_path.iterdir()) == []


def test_unknown_steps_name_the_ones_there_are(policy: Policy, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run r has no checkpoint"):
        find_checkpoint(tmp_path, None, "r")
    sft = trained(policy, 1)
    save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(12))
    with pytest.raises(UserError, match="no checkpoint of step 7; it has 12"):
        find_checkpoint(tmp_path, 7, "r")


def test_pruning_keeps_the_newest(tmp_path: Path) -> None:
    for step in (8, 24, 120):
        (tmp_path / f"step-{step:06d}").mkdir()
    assert [checkpoint_step(path) for path in prune(tmp_path, 2)] == [8]
    assert [checkpoint_step(path) for path in checkpoints(tmp_path)] == [24, 120]


def test_pruning_spares_protected_steps(tmp_path: Path) -> None:
    for step in (8, 16, 24, 120):
        (tmp_path / f"step-{step:06d}").mkdir()
    assert [checkpoint_step(path) for path in prune(tmp_path, 1, protected={8, 120})] == [16, 24]
    assert prune(tmp_path, 1, protected={8}) == []
