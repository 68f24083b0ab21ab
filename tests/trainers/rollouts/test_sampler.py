"""Sampling is a pure function of weights, run seed, batch number and refill round."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from core.config.load import build_config
from core.data.problem import Problem
from core.engines.base import Completion, EngineError, FinishReason
from core.engines.select import choose_engine
from core.models import load_tokenizer
from core.prompts.template import load_prompt
from core.responses.grade import GraderName
from core.rollouts import RolloutBatch
from trainers.distributed.world import ALONE
from trainers.live_engine import LiveEngine
from trainers.observer import Observer
from trainers.policy import Policy
from trainers.rollouts import RolloutSampler, rollout_seed, sample_together

PROBLEMS = [Problem(f"q-{i}", f"What is {i} + 4?", str(i + 4)) for i in range(3)]
SETTINGS = {"max_tokens": 12, "min_tokens": 2, "temperature": 1.2, "stop": ["</answer>"]}


class Watching(Observer):
    """Remembers how far rollouts were."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, int]] = []

    def rollout_progress(self, number: int, done: int, total: int) -> None:
        self.seen.append((number, done, total))


@dataclass(frozen=True)
class House:
    """One engine for many runs that exist nowhere."""

    model_dir: Path
    tokenizer: Any
    engine: LiveEngine

    def sampler(self, *, seed: int = 0, **rollout: object) -> RolloutSampler:
        return RolloutSampler(_stage(self.model_dir, seed, rollout), self.engine, self.tokenizer)


@pytest.fixture(scope="module")
def house(small_model: Path) -> Iterator[House]:
    engine = LiveEngine(_stage(small_model, 0, {}), 512, live=True)
    yield House(small_model, load_tokenizer(small_model), engine)
    engine.close()


@pytest.fixture
def sampler(house: House) -> RolloutSampler:
    return house.sampler()


def _stage(model_dir: Path, seed: int, rollout: dict[str, object]) -> Any:
    tree = {"kind": "grpo", "seed": seed, "rollout": {**SETTINGS, **rollout}}
    prepared = SimpleNamespace(
        engine=choose_engine("hf"),
        model_dir=model_dir,
        device="cpu",
        template=load_prompt("think_answer"),
    )
    return SimpleNamespace(
        config=build_config({**tree, "evaluation": {"dtype": "float32"}}),
        prepared=prepared,
        observer=Watching(),
        world=ALONE,
        resuming=False,
    )


def sampled(sampler: RolloutSampler, policy: Policy, **numbers: int) -> RolloutBatch:
    """A batch without what differs from one clock to the next."""
    given = {"number": 4, "first_step": 9, "per_question": 2, **numbers}
    found = sampler.sample(policy, PROBLEMS, **given)
    return replace(found, generate_seconds=0, grade_seconds=0, sync_seconds=0)


def test_a_batch_says_what_was_asked_and_what_came(sampler: RolloutSampler, policy: Policy) -> None:
    batch = sampler.sample(policy, PROBLEMS, number=4, first_step=9, per_question=2)
    assert (batch.number, batch.first_step, batch.per_question) == (4, 9, 2)
    assert batch.problems == tuple(PROBLEMS)
    asked = [(r.response.problem_id, r.response.sample) for r in batch.rollouts]
    assert asked == [(f"q-{i}", sample) for i in range(3) for sample in range(2)]
    for rollout in batch.rollouts:
        prompt = sampler.stage.prepared.template.prompt(
            PROBLEMS[int(rollout.response.problem_id[-1])]
        )
        assert sampler.tokenizer.decode(rollout.prompt_ids) == prompt
        assert 1 <= len(rollout.response.token_ids) <= 12
        assert len(rollout.engine_logprobs) == len(rollout.response.token_ids)
        assert rollout.grader is GraderName.STRICT
    assert batch.generate_seconds > 0
    assert sampler.stage.observer.seen[-1] == (4, 6, 6)  # type: ignore[attr-defined]


def test_the_same_numbers_give_the_same_rollouts_whatever_came_before(
    house: House, policy: Policy
) -> None:
    sampler = house.sampler()
    first = sampled(sampler, policy)
    sampled(sampler, policy, number=5)
    assert sampled(sampler, policy) == first
    engine = LiveEngine(sampler.stage, 512, live=True)
    torch.rand(3)
    assert sampled(replace(sampler, engine=engine), policy) == first
    engine.close()


def test_the_engine_starts_and_samples_where_its_memory_is_set_apart(
    house: House, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside: list[str] = []

    @contextmanager
    def apart() -> Iterator[None]:
        inside.append("begins")
        yield
        inside.append("ends")

    sampler = house.sampler()
    engine = LiveEngine(sampler.stage, 512, live=True, apart=apart)
    watching = sampler.stage.observer
    monkeypatch.setattr(watching, "phase", inside.append)
    monkeypatch.setattr(watching, "rollout_progress", lambda *_: inside.append("samples"))
    sampled(replace(sampler, engine=engine), policy)
    engine.close()
    assert inside[0] == "begins"
    assert inside[-1] == "ends"
    assert {"starting the engine hf", "copying the policy into the engine", "samples"} <= set(
        inside
    )


def test_every_batch_round_and_seed_has_other_rollouts(house: House, policy: Policy) -> None:
    sampler = house.sampler()
    found = [
        sampled(sampler, policy),
        sampled(sampler, policy, number=5),
        sampled(sampler, policy, round=1),
        sampled(house.sampler(seed=1), policy),
    ]
    assert len({batch.rollouts[0].response.token_ids for batch in found}) == 4


def test_other_weights_give_other_rollouts(sampler: RolloutSampler, policy: Policy) -> None:
    before = sampled(sampler, policy)
    with torch.no_grad():
        next(iter(policy.model.parameters())).mul_(-1)
    assert sampled(sampler, policy).rollouts != before.rollouts


def test_sampling_does_not_move_the_trainers_random_numbers(
    sampler: RolloutSampler, policy: Policy
) -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    sampled(sampler, policy)
    assert torch.get_rng_state().equal(before)


def test_a_problem_that_comes_again_gets_further_samples(
    sampler: RolloutSampler, policy: Policy
) -> None:
    asked = [PROBLEMS[0], PROBLEMS[1], PROBLEMS[0]]
    batch = sampler.sample(policy, asked, number=0, first_step=1, per_question=2)
    first = [r for r in batch.rollouts if r.response.problem_id == "q-0"]
    assert [r.response.sample for r in first] == [0, 1, 2, 3]
    assert len({r.response.token_ids for r in first}) == 4


@pytest.mark.parametrize("top_p", [1.0, 0.8])
def test_log_probabilities_are_those_of_the_distribution_that_was_sampled(
    house: House, policy: Policy, top_p: float
) -> None:
    rollouts = sampled(house.sampler(top_p=top_p, min_tokens=6), policy).rollouts
    for rollout in rollouts:
        expected = _reference(policy, rollout.prompt_ids, rollout.response.token_ids, top_p)
        assert rollout.engine_logprobs == pytest.approx(expected, abs=1e-4)


def test_an_engine_that_gives_no_log_probabilities_is_refused(
    sampler: RolloutSampler, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = sampler.engine.start()
    silent = Completion("x", (1, 2), FinishReason.EOS, None)
    monkeypatch.setattr(engine, "generate", lambda *_: [[silent, silent]] * 3)
    with pytest.raises(EngineError, match="no log-probability"):
        sampled(sampler, policy)


def test_seeds_do_not_run_into_each_other() -> None:
    seeds = {rollout_seed(s, n, r) for s in range(5) for n in range(20) for r in range(4)}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_processes_that_train_together_get_what_the_main_one_sampled(
    sampler: RolloutSampler, policy: Policy
) -> None:
    numbers = {"number": 4, "first_step": 9, "per_question": 2}
    batch = sample_together(ALONE, sampler, policy, PROBLEMS, **numbers)
    assert batch.rollouts == sampled(sampler, policy).rollouts


def _reference(
    policy: Policy, prompt: tuple[int, ...], response: tuple[int, ...], top_p: float
) -> list[float]:
    """Written out in float64, one position after another."""
    policy.model.eval()
    with torch.no_grad():
        logits = policy.model(torch.tensor([[*prompt, *response]])).logits[0].double()
    found = []
    for place, token in enumerate(response):
        row = logits[len(prompt) + place - 1].clone()
        if place < 6:
            row[0] = -torch.inf
        shares = (row / 1.2).softmax(-1)
        order = shares.argsort(descending=True)
        mass, kept = 0.0, []
        for index in order.tolist():
            if mass >= top_p and kept:
                break
            kept.append(index)
            mass += float(shares[index])
        found.append(float((shares[token] / shares[kept].sum()).log()))
    return found
