"""The run's engine on a GPU: told of once, asleep between two uses, and every copy recorded."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

import trainers.live_engine
from core.config.load import build_config
from core.engines.gpu_options import GpuOptions
from trainers.distributed.world import World
from trainers.live_engine import LiveEngine
from trainers.observer import Observer
from trainers.policy import Policy


class Noting:
    """An engine that notes what is done with it."""

    name, version, dtype, max_model_len = "noting", "0", "bfloat16", 64

    def __init__(self, happened: list[str]) -> None:
        self.happened = happened
        self.weight_path = "within the GPU"

    def load_weights(self, weights: Iterable[Any]) -> None:
        self.happened.append(f"load {len(list(weights)) > 0}")

    def sleep(self) -> None:
        self.happened.append("sleep")

    def close(self) -> None:
        self.happened.append("close")


class Noted:
    """A run on a GPU, with everything that it records."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, sleeps: bool) -> None:
        self.happened: list[str] = []
        self.events: list[tuple[str, str]] = []
        self.metrics: list[tuple[int, set[str]]] = []
        self.engine = Noting(self.happened)
        options = GpuOptions(sleeps=sleeps)
        found = SimpleNamespace(reason="it sits here", options=options)
        monkeypatch.setattr(trainers.live_engine, "seat", lambda *_: found)

        def build(*_: Any, gpu: GpuOptions, **__: Any) -> Noting:
            assert gpu is options
            return self.engine

        monkeypatch.setattr(trainers.live_engine, "build_engine", build)
        self.stage: Any = SimpleNamespace(
            config=build_config({"evaluation": {"dtype": "bfloat16"}}),
            prepared=SimpleNamespace(
                device="cuda", engine=SimpleNamespace(name="vllm"), model_dir=None
            ),
            world=World(),
            observer=Observer(),
            recorder=SimpleNamespace(
                metrics=lambda step, values: self.metrics.append((step, set(values)))
            ),
            event=lambda severity, kind, text, step=None: self.events.append((kind, text)),
        )


def test_it_sleeps_between_two_uses_and_takes_the_weights_anew(
    monkeypatch: pytest.MonkeyPatch, policy: Policy
) -> None:
    noted = Noted(monkeypatch, sleeps=True)
    engine = LiveEngine(noted.stage, 64, live=True)
    engine.rest()
    for step in (0, 4):
        engine.with_weights_of(policy, step)
        engine.with_weights_of(policy, step)
        engine.rest()
    engine.close()
    assert noted.happened == ["load True", "sleep", "load True", "sleep", "close"]
    assert noted.metrics == [(s, {"copy_seconds", "copy_gb_per_second"}) for s in (0, 4)]


def test_where_both_fit_it_stays_awake_and_old_weights_are_not_copied_again(
    monkeypatch: pytest.MonkeyPatch, policy: Policy
) -> None:
    noted = Noted(monkeypatch, sleeps=False)
    engine = LiveEngine(noted.stage, 64, live=True)
    for step in (0, 4):
        engine.with_weights_of(policy, step)
        engine.rest()
    assert noted.happened == ["load True"]


def test_place_and_way_are_told_once_and_again_when_the_way_changes(
    monkeypatch: pytest.MonkeyPatch, policy: Policy
) -> None:
    noted = Noted(monkeypatch, sleeps=True)
    engine = LiveEngine(noted.stage, 64, live=True)
    for step in range(3):
        engine.with_weights_of(policy, step)
        engine.rest()
    noted.engine.weight_path = "through main memory, because of something"
    engine.with_weights_of(policy, 4)
    assert [kind for kind, _ in noted.events] == ["engine_placement", "weight_copy", "weight_copy"]
    assert noted.events[0][1] == "it sits here"
    assert noted.events[1][1].startswith("weights are copied within the GPU: 0.00 GB in ")
    assert "through main memory, because of something" in noted.events[2][1]
