"""A GRPO run that is small and has everything that must survive a kill; shared by its tests."""

from pathlib import Path
from typing import Any

import pytest

from core.registry.store import Registry, open_registry
from tests.a5ctl.conftest import House
from trainers.rollouts import RolloutSampler

UPDATES = 12
"""Three rollout batches of four updates each: two train batches, twice."""


def small_grpo(house: House) -> tuple[str, ...]:
    """Options of such a run: any `e` ends a response, and short ones earn more."""
    return (
        *("--model", str(house.model), "--data", str(house.data), "--engine", "hf"),
        *("--size", "12", "--steps", "3", "--rollout-batch", "12", "--group-size", "3"),
        *("--train-batch", "6", "--epochs-per-rollout", "2", "--reward", "answer=1,length=-1"),
        *("--lr", "1e-3", "--threads", "1", "--max-tokens", "12", "--eval-limit", "4"),
        *("--set", "train.checkpoint_every=5", "--set", 'rollout.stop=["e"]'),
        *("--set", "evaluation.at_start=false"),
    )


def registry_of(house: House) -> Registry:
    return open_registry(f"sqlite:///{house.home / 'registry.db'}")


def curves(registry: Registry, name: str) -> dict[str, list[tuple[int, float]]]:
    """Every metric that no clock has a part in."""
    return {
        metric: [(point.step, point.value) for point in points]
        for metric, points in registry.metrics(registry.find_run(name).uuid).items()
        if "seconds" not in metric and "per_second" not in metric
    }


def responses(registry: Registry, name: str) -> list[tuple[int, int, str, str]]:
    """Every recorded rollout: batch, first step, problem, text."""
    found = registry.rollouts(registry.find_run(name).uuid)
    return [(r.number, r.step, r.response.problem_id, r.response.text) for r in found]


def count_samplings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the batches that are sampled from now on, in this process."""
    sample, numbers = RolloutSampler.sample, []

    def counted(self: RolloutSampler, *arguments: Any, **given: Any) -> Any:
        numbers.append(given["number"])
        return sample(self, *arguments, **given)

    monkeypatch.setattr(RolloutSampler, "sample", counted)
    return numbers


def folder_of(house: House, name: str) -> Path:
    return house.home / "runs" / registry_of(house).find_run(name).id


def final_weights(house: House, name: str) -> bytes:
    newest = max((folder_of(house, name) / "checkpoints").glob("step-*"))
    return (newest / "model.safetensors").read_bytes()
