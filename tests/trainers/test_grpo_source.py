"""Where rollouts come from: asked once, refilled by outcome alone, taken from disk after a kill."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from core.config.load import build_config
from core.data.problem import Problem
from core.rollouts import RolloutBatch
from tests.rollouts import right, rollout
from trainers.grpo_source import RolloutSource, is_idle, weights_mark
from trainers.observer import Observer
from trainers.policy import Policy
from trainers.rollouts import QuestionOrder, RolloutStore

WRONG = " so it is 7 </think> <answer> 7 </answer>"
PROBLEMS = tuple(Problem(f"q-{i:02d}", f"Question {i}?", "42") for i in range(12))


class Scripted:
    """Answers each question as told: right, wrong, or one of each.

    Attributes:
        asked: Ids of the questions, call by call.
    """

    def __init__(self, outcomes: dict[str, tuple[str, str]]) -> None:
        self.asked: list[list[str]] = []
        self._outcomes = outcomes

    def sample(
        self, policy: Policy, problems: Sequence[Problem], *, per_question: int, **numbers: int
    ) -> RolloutBatch:
        self.asked.append([problem.id for problem in problems])
        rollouts = tuple(
            rollout(text, problem, sample=sample, tokens=7 + sample)
            for problem in problems
            for sample, text in enumerate(self._outcomes.get(problem.id, (right(42), WRONG)))
        )
        number, first_step = numbers["number"], numbers["first_step"]
        return RolloutBatch(number, first_step, tuple(problems), per_question, rollouts, 1.0)


class Written:
    """Takes what would go to the registry."""

    def __init__(self) -> None:
        self.rollouts_of: list[int] = []
        self.events: list[str] = []

    def rollouts(self, batch: RolloutBatch, keep: object) -> None:
        self.rollouts_of.append(batch.first_step)


def source(folder: Path, sampler: Scripted, **settings: Any) -> RolloutSource:
    settings = {"rollout_batch": 8, **settings}
    config = build_config({"kind": "grpo", "rollout": {"per_question": 2}, "grpo": settings})
    written = Written()
    stage: Any = SimpleNamespace(
        config=config,
        recorder=written,
        observer=Observer(),
        checkpoint_folder=folder / "checkpoints",
        event=lambda severity, kind, message, step: written.events.append(kind),
    )
    count = len(PROBLEMS)
    made: Any = sampler
    store = RolloutStore(folder / "rollouts")
    return RolloutSource(
        stage, made, store, PROBLEMS, QuestionOrder(count, 0), QuestionOrder(count, 1)
    )


def reached(folder: Path, *steps: int) -> None:
    for step in steps:
        (folder / "checkpoints" / f"step-{step:06d}").mkdir(parents=True)


def test_groups_without_a_difference_are_told_by_the_outcome_alone() -> None:
    problem = PROBLEMS[0]
    short, long = (rollout(WRONG, problem, tokens=tokens) for tokens in (3, 30))
    assert is_idle([short, long]), "whatever their lengths would earn"
    assert is_idle([rollout(right(42), problem)] * 2)
    assert not is_idle([short, rollout(right(42), problem)])


def test_dynamic_sampling_asks_other_questions_in_place_of_idle_groups(
    tmp_path: Path, policy: Policy
) -> None:
    idle = [f"q-{i:02d}" for i in range(0, 12, 2)]
    sampler = Scripted(dict.fromkeys(idle, (WRONG, WRONG)))
    sampled = source(tmp_path, sampler, dynamic_sampling=True, max_refills=9).take(policy, 1)
    first, *more = sampler.asked
    assert more
    assert sampled.refills == len(more)
    assert [len(asked) for asked in more] == sorted([len(a) for a in more], reverse=True)
    assert len(more[0]) == sum(name in idle for name in first)
    assert set(more[0]).isdisjoint(first)
    groups = sampled.batch.groups()
    assert len(groups) == 4
    assert not any(map(is_idle, groups))
    for problem, group in zip(sampled.batch.problems, groups, strict=True):
        assert {r.response.problem_id for r in group} == {problem.id}
    assert sampled.batch.generate_seconds == len(sampler.asked)


def test_it_goes_on_with_what_there_is_after_so_many_refills(
    tmp_path: Path, policy: Policy
) -> None:
    sampler = Scripted({problem.id: (WRONG, WRONG) for problem in PROBLEMS})
    sampled = source(tmp_path, sampler, dynamic_sampling=True, max_refills=2).take(policy, 1)
    assert len(sampler.asked) == 3
    assert sampled.refills == 2
    assert len(sampled.batch.rollouts) == 8
    untouched = source(tmp_path / "off", sampler).take(policy, 1)
    assert untouched.refills == 0


def test_a_batch_is_asked_once_and_recorded_by_its_first_step(
    tmp_path: Path, policy: Policy
) -> None:
    sampler = Scripted({})
    made = source(tmp_path, sampler, train_batch=4)
    taken = made.take(policy, 1)
    again = source(tmp_path, sampler, train_batch=4)
    assert again.take(policy, 1).batch == taken.batch
    assert again.take(policy, 2).batch == taken.batch
    assert len(sampler.asked) == 1
    assert made.stage.recorder.rollouts_of == again.stage.recorder.rollouts_of == [1]
    assert again.take(policy, 3).batch.number == 1
    assert len(sampler.asked) == 2


def test_what_other_weights_have_sampled_is_not_begun_with(tmp_path: Path, policy: Policy) -> None:
    sampler = Scripted({})
    made = source(tmp_path, sampler, train_batch=4)
    made.take(policy, 1)
    with torch.no_grad():
        policy.model.model.norm.weight[3] += 2**-20
    made.take(policy, 2)
    assert len(sampler.asked) == 1, "in the middle of a batch the weights have moved, rightly"
    made.take(policy, 1)
    assert len(sampler.asked) == 2


def test_a_batch_that_was_lost_in_the_middle_is_sampled_anew_with_a_warning(
    tmp_path: Path, policy: Policy
) -> None:
    sampler = Scripted({})
    made = source(tmp_path, sampler, train_batch=4)
    made.take(policy, 1)
    (file,) = (tmp_path / "rollouts").iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    assert len(made.take(policy, 2).batch.rollouts) == 8
    assert made.stage.recorder.events == ["rollouts_lost"]
    assert len(sampler.asked) == 2


def test_batches_go_that_no_checkpoint_can_go_on_with(tmp_path: Path, policy: Policy) -> None:
    made = source(tmp_path, Scripted({}), train_batch=4)

    def kept() -> list[int]:
        return sorted(int(path.stem[-6:]) for path in (tmp_path / "rollouts").glob("*.rollouts"))

    for step in (1, 3, 5):
        made.take(policy, step)
    assert kept() == [1, 3, 5], "a kill may lead back to the start"
    reached(tmp_path, 3, 6)
    made.take(policy, 7)
    assert kept() == [3, 5, 7], "step 3 is in the middle of its batch"
    (tmp_path / "checkpoints" / "step-000003").rmdir()
    made.take(policy, 9)
    assert kept() == [7, 9]


def test_the_mark_of_weights_is_exact(policy: Policy) -> None:
    before = weights_mark(policy)
    assert weights_mark(policy).equal(before)
    weight = policy.model.model.norm.weight
    with torch.no_grad():
        weight[0] = torch.nextafter(weight[0], torch.tensor(9.0))
    assert not weights_mark(policy).equal(before)


@pytest.mark.parametrize("step", [1, 2, 4])
def test_problems_are_named_without_the_batch(tmp_path: Path, policy: Policy, step: int) -> None:
    sampler = Scripted({})
    made = source(tmp_path, sampler, train_batch=4)
    made.take(policy, (step - 1) // 2 * 2 + 1)
    assert [problem.id for problem in made.first_asked(step)] == sampler.asked[0]
