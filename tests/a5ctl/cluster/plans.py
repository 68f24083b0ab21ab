"""A plan of small runs, and what its runs have in common with ones that nobody disturbed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.registry.records import RunRecord
from core.registry.store import Registry, open_registry
from tests.a5ctl.conftest import House
from tests.a5ctl.test_resume import curves, evaluations

PLAN = """
name = "{name}"
seeds = [{seeds}]
[base]
kind = "sft"
model.source = "{model}"
data.source = "{data}"
data.size = 20
train.batch_size = 4
train.lr = 1e-3
train.checkpoint_every = 2
evaluation.engine = "hf"
evaluation.max_tokens = 12
[axes]
"train.steps" = [{steps}]
"""


def write_plan(house: House, path: Path, steps: str, *, seeds: str = "0", name: str = "p") -> Path:
    text = PLAN.format(name=name, seeds=seeds, steps=steps, model=house.model, data=house.data)
    path.write_text(text, encoding="utf-8")
    return path


def registry_of(home: Path) -> Registry:
    return open_registry(f"sqlite:///{home / 'registry.db'}", create=False)


def runs_by_steps(registry: Registry) -> dict[int, RunRecord]:
    return {run.config["train"]["steps"]: run for run in registry.runs()}


def wait_for(look: Callable[[], Any], seconds: float = 240.0) -> Any:
    """What `look` finds; a busy machine is slow."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    pytest.fail("waited in vain")


def assert_same_numbers(disturbed: Registry, calm: Registry, run: str, other: str) -> None:
    assert curves(disturbed, run) == curves(calm, other)
    assert evaluations(disturbed, run) == evaluations(calm, other)
