"""When a run starts its evaluation engine: once, no earlier than needed, but never too late."""

from pathlib import Path
from typing import Any

import pytest

import trainers.evaluator
import trainers.live_engine
from core.engines.base import EngineError
from tests.a5ctl.conftest import House, write_problems
from tests.a5ctl.test_run import registry_of
from trainers.sft import SFT

LATE = ("--set", "evaluation.at_start=false")


@pytest.fixture
def course(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens, in order: the engine's start, and every update."""
    happened: list[str] = []
    build, update = trainers.live_engine.build_engine, SFT.update

    def building(*args: Any, **settings: Any) -> Any:
        happened.append("engine")
        return build(*args, **settings)

    def updating(method: SFT, step: int) -> dict[str, float]:
        happened.append(f"step {step}")
        return update(method, step)

    monkeypatch.setattr(trainers.live_engine, "build_engine", building)
    monkeypatch.setattr(SFT, "update", updating)
    return happened


@pytest.mark.slow
def test_training_does_not_wait_for_an_engine_that_is_needed_later(
    house: House, course: list[str]
) -> None:
    house.sft(*LATE, "--eval-every", "2")
    assert course == ["step 1", "step 2", "engine", "step 3", "step 4", "step 5", "step 6"]


@pytest.mark.slow
def test_an_evaluation_at_the_start_needs_the_engine_before_training(
    house: House, course: list[str]
) -> None:
    house.sft("--eval-every", "2")
    assert course == ["engine", *(f"step {number}" for number in range(1, 7))]


@pytest.mark.slow
def test_every_run_of_a_matrix_starts_its_own_engine_once(house: House, course: list[str]) -> None:
    house.json("run", "sft", *house.small, *LATE, "--quiet", "--seed", "0,1", "--steps", "2")
    assert course == ["step 1", "step 2", "engine"] * 2


def test_a_prompt_without_room_for_a_response_is_found_before_training(
    house: House, course: list[str], tmp_path: Path
) -> None:
    data = tmp_path / "long"
    data.mkdir()
    write_problems(data / "train.jsonl", 10)
    (data / "test.jsonl").write_text('{"question": "' + "7 " * 600 + '", "answer": "#### 1"}\n')
    result = house.run("run", "sft", *house.small, *LATE, "--data", str(data))
    assert result.exit_code == 2
    assert "the model reads at most 512, response included" in " ".join(result.output.split())
    assert course == []


@pytest.mark.slow
def test_memory_that_holds_no_response_is_found_before_training(
    house: House, course: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise EngineError("one response needs more memory than is free")

    monkeypatch.setattr(trainers.evaluator, "check_engine", refuse)
    result = house.run("run", "sft", *house.small, *LATE)
    assert result.exit_code == 1
    assert "needs more memory" in result.output
    assert course == []


@pytest.mark.slow
def test_an_engine_that_fails_after_training_costs_no_training(
    house: House, course: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build = trainers.live_engine.build_engine

    def fail(*_: Any, **__: Any) -> Any:
        raise EngineError("vLLM could not start")

    monkeypatch.setattr(trainers.live_engine, "build_engine", fail)
    (outcome,) = _failed(house)
    monkeypatch.setattr(trainers.live_engine, "build_engine", build)
    course.clear()
    assert house.run("resume", outcome, "--quiet").exit_code == 0
    assert course == ["engine"]
    store = registry_of(house)
    assert [e.step for e in store.evaluations([store.find_run(outcome).uuid])] == [6]


def _failed(house: House) -> list[str]:
    result = house.run("run", "sft", *house.small, *LATE, "--quiet")
    assert result.exit_code == 1
    assert "vLLM could not start" in result.output
    return [path.name for path in (house.home / "runs").iterdir()]


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine", ["hf", pytest.param("vllm", marks=[pytest.mark.slow, pytest.mark.vllm])]
)
def test_the_moment_of_the_start_moves_no_update(house: House, engine: str) -> None:
    ways = ((), LATE, (*LATE, "--eval-every", "2"))
    runs = [house.sft("--engine", engine, *way) for way in ways]
    store = registry_of(house)
    curves = [store.metrics(store.find_run(run).uuid)["loss"] for run in runs]
    values = [[point.value for point in curve] for curve in curves]
    assert values[0] == values[1] == values[2]
