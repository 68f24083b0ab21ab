"""Whole runs on a GPU, as a person starts them; the same bodies run on a CPU where that is quick.

On a GPU: `pytest -m gpu`. Written for torch 2.11 or newer; vLLM is tested where it is installed.
"""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.registry.records import EvaluationRecord
from core.registry.store import Registry, open_registry
from tests.a5ctl.conftest import House, small_house
from tests.a5ctl.held import HELD, held, read_until
from tests.a5ctl.test_run_dpo import write_pairs

GPU = pytest.mark.gpu
DEVICES = [pytest.param("cuda", marks=GPU), pytest.param("cpu", marks=pytest.mark.slow)]
ENGINES = [
    pytest.param("cuda", "hf", marks=GPU),
    pytest.param("cuda", "vllm", marks=[GPU, pytest.mark.vllm]),
    pytest.param("cpu", "hf", marks=pytest.mark.slow),
]
# what makes a GPU repeat itself bit by bit: float32, in which attention is torch's own for each
# example, here written out; no sums in the order of arrival; one workspace of cuBLAS
WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
DETERMINED = """
import torch
torch.use_deterministic_algorithms(True, warn_only=True)
torch.backends.cuda.enable_flash_sdp(False)
torch.backends.cuda.enable_mem_efficient_sdp(False)
torch.backends.cuda.enable_cudnn_sdp(False)
"""
EXACT = ("--set", "train.precision=float32", "--set", "evaluation.dtype=float32")
CLOCKS = ("seconds", "per_second")


def registry_of(house: House) -> Registry:
    return open_registry(f"sqlite:///{house.home / 'registry.db'}")


def curves(house: House, name: str) -> dict[str, list[tuple[int, float]]]:
    """Every metric that no clock has a part in."""
    registry = registry_of(house)
    return {
        metric: [(point.step, point.value) for point in points]
        for metric, points in registry.metrics(registry.find_run(name).uuid).items()
        if not any(word in metric for word in CLOCKS)
    }


def evaluations(house: House, name: str) -> list[EvaluationRecord]:
    registry = registry_of(house)
    return registry.evaluations([registry.find_run(name).uuid])


def texts(house: House, name: str) -> list[str]:
    """What was answered last, problem by problem."""
    last = evaluations(house, name)[-1]
    found = registry_of(house).responses(last.uuid)
    return [response.text for response in sorted(found, key=lambda one: one.problem_id)]


def finished(house: House, *words: str) -> str:
    """Run to its end, and return the run's id."""
    (outcome,) = house.json(*words, "--quiet")
    run = registry_of(house).find_run(outcome["run"])
    assert run.status == "finished", run.exit_reason
    return run.id


@pytest.fixture(scope="module")
def taught(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A workspace with a run that has learned its questions, so that EI has something to keep."""
    house = small_house(small_folder, tmp_path_factory.mktemp("taught") / "home")
    more = ("--steps", "60", "--lr", "1e-2", "--eval-limit", "1", "--name", "taught")
    finished(house, "run", "sft", *house.small, *more, "--set", "evaluation.at_start=false")
    yield house
    shutil.rmtree(house.home)


@pytest.fixture
def beside(taught: House, tmp_path: Path) -> House:
    """A workspace of one's own that holds the taught run."""
    shutil.copytree(taught.home, tmp_path / "home")
    return replace(taught, home=tmp_path / "home")


@pytest.mark.parametrize(("device", "engine"), ENGINES)
def test_fine_tuning_learns_and_is_evaluated(house: House, device: str, engine: str) -> None:
    run = finished(
        house, "run", "sft", *house.small, "--device", device, "--engine", engine, "--name", "one"
    )
    loss = [value for _, value in curves(house, run)["loss"]]
    assert len(loss) == 6
    assert loss[-1] < loss[0]
    assert [one.step for one in evaluations(house, run)] == [0, 6]
    assert {one.protocol["engine"] for one in evaluations(house, run)} == {engine}
    assert registry_of(house).find_run(run).config["model"]["device"] == device


@pytest.mark.parametrize(("device", "engine"), ENGINES)
def test_grpo_samples_with_the_weights_that_it_trains(
    house: House, device: str, engine: str
) -> None:
    run = finished(
        house, "run", "grpo", "--model", str(house.model), "--data", str(house.data),
        "--device", device, "--engine", engine, "--size", "4", "--steps", "2", "--threads", "1",
        "--rollout-batch", "4", "--group-size", "2", "--reward", "answer=1,length=-1",
        "--lr", "1e-3", "--max-tokens", "12", "--eval-limit", "2",
        "--set", 'rollout.stop=["e"]', "--set", "evaluation.at_start=false",
        *(EXACT if engine == "hf" else ()),
    )  # fmt: skip
    found = curves(house, run)
    assert [step for step, _ in found["loss"]] == [1, 2]
    # nats between policy and engine: a wrong copy is off by several, bfloat16 by less than one
    bar = 0.01 if engine == "hf" else 0.5
    assert max(value for _, value in found["engine_gap"]) < bar


@pytest.mark.parametrize(("device", "engine"), ENGINES)
def test_expert_iteration_keeps_right_responses_and_learns(
    beside: House, device: str, engine: str
) -> None:
    run = finished(
        beside, "run", "ei", "--init", "taught", "--device", device, "--engine", engine,
        "--size", "8", "--ei-steps", "1", "--questions", "6", "--rollouts", "4", "--threads", "1",
        "--batch-size", "2", "--lr", "1e-3", "--epochs", "1", "--max-tokens", "50",
        "--eval-limit", "2", "--no-dedup", "--set", "rollout.temperature=0.5",
    )  # fmt: skip
    found = curves(beside, run)
    assert found["kept"][0][1] > 0
    assert found["loss"]


@pytest.mark.parametrize("device", DEVICES)
def test_dpo_prefers_what_was_chosen(house: House, tmp_path: Path, device: str) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl")
    run = finished(
        house, "run", "dpo", *house.small, "--pairs", str(pairs), "--device", device,
        "--lr", "1e-2", "--beta", "0.5", "--set", "evaluation.at_start=false",
    )  # fmt: skip
    margin = [value for _, value in curves(house, run)["margin"]]
    assert margin[0] == pytest.approx(0, abs=0.05)
    assert margin[-1] > margin[0]


@pytest.mark.parametrize("device", DEVICES)
def test_a_killed_run_goes_on_with_the_same_numbers(
    house: House, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setenv(*WORKSPACE)
    # a process that forks cannot hand a GPU on
    how = {} if device == "cpu" else {"warm": None}
    entry = held("trainers.sft", "SFT.update", call=10**9, more=DETERMINED)
    words = ("run", "sft", *house.small, "--eval-limit", "2", "--device", device, *EXACT)
    whole = house.process(*words, "--name", "whole", entry=entry, **how)
    assert whole.wait() == 0, whole.stdout.read()
    stops = held("trainers.sft", "SFT.update", call=5, more=DETERMINED)
    killed = house.process(*words, "--name", "killed", entry=stops, **how)
    read_until(killed, HELD)
    killed.kill()
    killed.wait()
    again = house.process("resume", "killed", entry=entry, **how)
    assert again.wait() == 0, again.stdout.read()
    assert curves(house, "killed") == curves(house, "whole")
    assert texts(house, "killed") == texts(house, "whole")
    assert [step for step, _ in curves(house, "killed")["loss"]] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("device", DEVICES)
def test_most_prompts_are_answered_as_on_the_cpu(house: House, device: str) -> None:
    words = ("run", "eval", "--model", str(house.model), "--data", str(house.data))
    words += ("--engine", "hf", "--max-tokens", "12", "--set", "evaluation.dtype=float32")
    for name, where in (("here", "cpu"), ("there", device)):
        finished(house, *words, "--device", where, "--name", name)
    here, there = texts(house, "here"), texts(house, "there")
    assert len(here) == 12
    # float32 sums in another order; where two tokens are as likely as each other, that decides
    same = sum(one == other for one, other in zip(here, there, strict=True))
    assert same >= (12 if device == "cpu" else 10)


@pytest.mark.gpu
def test_the_peak_of_memory_is_measured_and_compared(house: House) -> None:
    run = finished(house, "run", "sft", *house.small, "--device", "cuda")
    registry = registry_of(house)
    events = {event.kind: event for event in registry.events(registry.find_run(run).uuid)}
    assert events["memory"].data["peak_bytes"] > 0
    assert events["memory"].data["estimated_bytes"] > 0
