"""GRPO runs that truly go wrong, and some that do not, on a small model that can add a little."""

import json
import random
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from core.registry.records import EventRecord
from core.registry.store import open_registry
from tests.a5ctl.conftest import House
from tests.models import write_model
from trainers.watchdog import RULES

pytestmark = pytest.mark.slow

NAMES = {rule.name for rule in RULES}
STEPS = 10
HEALTHY_LR = 1e-4


def write_sums(folder: Path) -> None:
    """Sums of small numbers in shuffled order: 72 to learn from, 24 to be asked."""
    rows = [
        {"question": f"{a} and {b}", "answer": f"{a} + {b} = {a + b}\n#### {a + b}"}
        for a in range(1, 13)
        for b in range(1, 9)
    ]
    random.Random(0).shuffle(rows)
    for name, part in (("train", rows[:72]), ("test", rows[72:])):
        text = "\n".join(map(json.dumps, part)) + "\n"
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def adding(tmp_path_factory: pytest.TempPathFactory) -> tuple[House, str]:
    """A workspace with a run that learned the format, and a third of the sums."""
    folder = tmp_path_factory.mktemp("adding")
    write_model(folder / "model")
    (folder / "data").mkdir()
    write_sums(folder / "data")
    prompt = folder / "short.prompt"
    prompt.write_text("{question}\nAssistant: <think>", encoding="utf-8")
    small = (
        *("--data", str(folder / "data"), "--engine", "hf", "--size", "full", "--threads", "1"),
        *("--max-tokens", "40", "--prompt", str(prompt), "--eval-limit", "2"),
        *("--set", "evaluation.at_start=false", "--quiet"),
    )
    house = House(folder / "home", folder / "model", folder / "data", small)
    options = ("--steps", "200", "--batch-size", "12", "--lr", "3e-3")
    (outcome,) = house.json("run", "sft", "--model", house.model, *small, *options)
    return house, outcome["run"]


def alarms(
    adding: tuple[House, str], home: Path, *options: str, lr: float = HEALTHY_LR
) -> dict[str, EventRecord]:
    """Alarms of a GRPO run in a copy of the workspace by rule."""
    shutil.copytree(adding[0].home, home)
    house = House(home, adding[0].model, adding[0].data, adding[0].small)
    small = ("--steps", str(STEPS), "--rollout-batch", "64", "--group-size", "4", "--lr", str(lr))
    house.json("run", "grpo", "--init", adding[1], *house.small, *small, *options)
    registry = open_registry(f"sqlite:///{home / 'registry.db'}")
    run = registry.runs()[0]
    assert (run.kind, run.status) == ("grpo", "finished")
    found = [event for event in registry.events(run.uuid) if event.kind in NAMES]
    registry.close()
    assert len({event.kind for event in found}) == len(found), "every rule fires once"
    return {event.kind: event for event in found}


def responses(event: EventRecord) -> Iterable[str]:
    assert len(event.data["responses"]) == 5
    assert all(key in event.message for key in list(event.data["responses"])[:4])
    return event.data["responses"].values()


def test_a_learning_rate_a_hundred_times_too_high(
    adding: tuple[House, str], tmp_path: Path
) -> None:
    found = alarms(adding, tmp_path / "home", lr=100 * HEALTHY_LR)
    assert {"reward_lost", "entropy_exploded", "rollout_format_lost"} <= found.keys()
    event = found["reward_lost"]
    assert max(event.data["right"]) < 0.1
    assert all(text.isprintable() for text in responses(event))


def test_engine_that_misses_its_copies(
    adding: tuple[House, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.engines.hf import HfEngine

    copy, copies = HfEngine.load_weights, []

    def only_once(engine: HfEngine, weights: Iterable[tuple[str, object]]) -> None:
        copies.append(engine)
        if len(copies) == 1:
            copy(engine, weights)

    monkeypatch.setattr(HfEngine, "load_weights", only_once)
    found = alarms(adding, tmp_path / "home", lr=3 * HEALTHY_LR)
    assert len(copies) >= STEPS
    assert "engine_gap" in found
    event = found["engine_gap"]
    assert event.data["gap"] > 3 * event.data["before"]
    assert responses(event)


def test_a_reward_for_length_drifts_into_the_cap(adding: tuple[House, str], tmp_path: Path) -> None:
    found = alarms(adding, tmp_path / "home", "--reward", "length=1", lr=3e-3)
    event = found["drift_into_cap"]
    assert event.data["shares"][0] > event.data["before"] + 0.2
    assert not any("</answer>" in text for text in responses(event))


def test_a_reward_for_short_formatted_responses_costs_the_answers(
    adding: tuple[House, str], tmp_path: Path
) -> None:
    options = ("--reward", "format=1,length=-1", "--set", "rollout.min_tokens=0")
    found = alarms(adding, tmp_path / "home", *options, lr=5e-3)
    # which of them comes first hangs on rounding
    assert found.keys() & {"constant_answer", "format_hacked", "rollout_format_lost", "reward_lost"}


@pytest.mark.parametrize("options", [("--seed", "1"), ("--seed", "2", "--train-batch", "16")])
def test_healthy_runs_are_silent(
    adding: tuple[House, str], tmp_path: Path, options: tuple[str, ...]
) -> None:
    assert alarms(adding, tmp_path / "home", *options) == {}
