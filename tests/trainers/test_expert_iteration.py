"""Expert Iteration as a method: rounds, schedules, what is skipped, and how it goes on exactly."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch

from core.config.methods import ExpertIterationSettings
from core.config.schema import Schedule, TrainSettings
from core.data.problem import Problem
from core.rollouts import RolloutBatch
from tests.rollouts import batch, right
from trainers.batching import BatchPlan, plan_batches
from trainers.ei_rounds import Round
from trainers.expert_iteration import ExpertIteration
from trainers.kept import Kept, keep
from trainers.optimization import LearningRate, build_optimizer
from trainers.policy import Policy, load_policy
from trainers.rollouts import QuestionOrder
from trainers.sft import SFT

SETTINGS = TrainSettings(lr=1e-2, epochs=2, batch_size=3, schedule=Schedule.LINEAR)
PROBLEMS = [Problem(f"q-{i}", f"Question {i}?", "42") for i in range(4)]
WRONG = [[right(41)] * 3] * 4
# six different right responses, to three problems; then four, to four
RICH = [[right(42), f"so{right(42)}", right(1)]] * 3 + [[right(0)] * 3]
POOR = [[right(42), right(42), right(7)]] * 4


@dataclass
class ByHand:
    """Rounds whose rollouts were written down beforehand.

    Attributes:
        groups: Texts by problem, for each round.
    """

    groups: Sequence[Sequence[Sequence[str]]]
    sampled: list[tuple[int, int]] = field(default_factory=list)
    reported: list[Round] = field(default_factory=list)
    closed: list[Sequence[Round]] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)

    def sample(
        self, policy: Policy, problems: Sequence[Problem], number: int, first_step: int
    ) -> RolloutBatch:
        self.sampled.append((number, first_step))
        return batch(self.groups[number], number=number, first_step=first_step)

    def recall(self, now: Round) -> RolloutBatch:
        return batch(self.groups[now.number], number=now.number, first_step=now.first_step)

    def report(self, now: Round, sampled: RolloutBatch, kept: Kept) -> None:
        assert sampled.first_step == now.first_step
        self.reported.append(now)

    def close(self, rounds: Sequence[Round]) -> None:
        self.closed.append(tuple(rounds))

    def forget_after(self, step: int) -> None:
        self.forgotten.append(step)


def method(
    policy: Policy, groups: Sequence[Sequence[Sequence[str]]], **given: object
) -> ExpertIteration:
    rate = LearningRate(1e-2, Schedule.LINEAR, 0.0, 0.1, 1)
    sft = SFT(
        policy=policy,
        optimizer=build_optimizer(policy.model.named_parameters(), SETTINGS),
        learning_rate=rate,
        examples=(),
        plan=BatchPlan(1, 1, 1, 0),
        settings=SETTINGS,
        microbatch_tokens=1000,
    )
    settings = ExpertIterationSettings(
        steps=len(groups), questions=4, max_per_problem=None, **given
    )
    return ExpertIteration(
        policy=policy,
        optimizer=sft.optimizer,
        sft=sft,
        learning_rate=rate,
        questions=PROBLEMS,
        order=QuestionOrder(len(PROBLEMS), 0),
        settings=settings,
        rollouts_of=ByHand(groups),
        eos_id=0,
        expected_updates=10,
    )


def fresh(small_model: Path) -> Policy:
    return load_policy(small_model, device="cpu", precision="float32")


def weights(policy: Policy) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in policy.named_weights()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def run(ei: ExpertIteration, start: int = 0) -> list[dict[str, float]]:
    found, step = [], start + 1
    while ei.ready(step):
        found.append(ei.update(step))
        step += 1
    return found


def test_rounds_follow_one_another_and_the_total_becomes_exact(policy: Policy) -> None:
    ei = method(policy, [RICH, POOR])
    assert ei.total_steps == 20, "an estimate, before anything is known"
    assert ei.samplings_left(0) == 2
    assert ei.ready(1)
    assert [ei.samplings_left(step) for step in (0, 1)] == [2, 1]
    assert (ei.rounds, ei.total_steps) == ([Round(0, 1, 4)], 8)
    for step in range(1, 5):
        assert ei.ready(step)
        ei.update(step)
    assert ei.rollouts_of.sampled == [(0, 1)]
    assert ei.ready(5)
    assert (ei.rounds[-1], ei.total_steps) == (Round(1, 5, 4), 8)
    assert [ei.ends_round(step) for step in range(1, 9)] == [False, False, False, True] * 2
    for step in range(5, 9):
        ei.update(step)
    assert not ei.ready(9)
    assert ei.rollouts_of.reported == ei.rounds
    assert len(ei.rollouts_of.closed) == 1
    assert [ei.samplings_left(step) for step in (0, 4, 5, 8)] == [2, 1, 0, 0]


def test_a_round_is_the_fine_tuning_that_run_sft_does(small_model: Path) -> None:
    policy, alone = fresh(small_model), fresh(small_model)
    ei = method(policy, [RICH])
    metrics = run(ei)
    kept = keep(batch(RICH), ei.settings, SETTINGS, 0)
    plan = plan_batches(kept.examples, SETTINGS, 3, ei.sft.plan.seed)
    sft = SFT(
        policy=alone,
        optimizer=build_optimizer(alone.model.named_parameters(), SETTINGS),
        learning_rate=replace(ei.learning_rate, total=plan.total),
        examples=kept.examples,
        plan=plan,
        settings=SETTINGS,
        microbatch_tokens=1000,
    )
    expected = [sft.update(step) for step in range(1, plan.total + 1)]
    assert [m["loss"] for m in metrics] == [m["loss"] for m in expected]
    assert [m["epoch"] for m in metrics] == [m["epoch"] for m in expected] == [0.5, 1.0, 1.5, 2.0]
    assert same(weights(policy), weights(alone))


def test_every_round_has_the_whole_course_of_the_learning_rate(policy: Policy) -> None:
    ei = method(policy, [RICH, POOR])
    rates = [metrics["lr"] for metrics in run(ei)]
    course = LearningRate(1e-2, Schedule.LINEAR, 0.0, 0.1, 4)
    assert rates == [course.at(step) for step in range(1, 5)] * 2
    ei.learning_rate = ei.learning_rate.scaled(0.5)  # what a rollback does
    ei.load(ei.dump(), 7)
    assert ei.update(8)["lr"] == course.scaled(0.5).at(4)


def test_the_first_update_of_a_round_tells_what_sampling_brought(policy: Policy) -> None:
    metrics = run(method(policy, [RICH, POOR]))
    told = [step for step, values in enumerate(metrics, 1) if "solved_share" in values]
    assert told == [1, 5]
    assert (metrics[0]["kept"], metrics[0]["solved_share"]) == (6, 0.75)
    assert (metrics[4]["kept"], metrics[4]["distinct_share"]) == (4, 0.5)


def test_rounds_without_a_right_response_are_skipped(policy: Policy) -> None:
    ei = method(policy, [WRONG, RICH, WRONG, WRONG])
    assert len(run(ei)) == 4
    assert ei.rounds == [Round(0, 1, 0), Round(1, 1, 4), Round(2, 5, 0), Round(3, 5, 0)]
    assert ei.total_steps == 4
    assert [ei.ends_round(step) for step in range(6)] == [False] * 4 + [True, False]
    assert ei.rollouts_of.reported == ei.rounds


def test_where_no_round_finds_anything_the_run_ends_without_an_update(small_model: Path) -> None:
    policy = fresh(small_model)
    before = weights(policy)
    ei = method(policy, [WRONG, WRONG])
    assert not ei.ready(1)
    assert (ei.total_steps, len(ei.rollouts_of.closed)) == (0, 1)
    assert same(weights(policy), before)


@pytest.mark.parametrize("reset", [False, True])
def test_the_moments_are_forgotten_between_rounds_only_where_that_was_asked(
    policy: Policy, reset: bool
) -> None:
    ei = method(policy, [RICH, POOR], optimizer_reset=reset)
    run(ei)
    steps = {int(state["step"]) for state in ei.optimizer.adamw.state.values()}
    assert steps == {4 if reset else 8}


@pytest.mark.parametrize("stopped", range(9))
def test_a_method_that_goes_on_from_its_memory_takes_the_same_course(
    small_model: Path, stopped: int
) -> None:
    untouched = method(fresh(small_model), [WRONG, RICH, POOR])
    expected = run(untouched)
    policy = fresh(small_model)
    first = method(policy, [WRONG, RICH, POOR])
    found = []
    for step in range(1, stopped + 1):
        assert first.ready(step)
        found.append(first.update(step))
    memory = copy.deepcopy(first.dump()) if stopped else None
    second = method(policy, [WRONG, RICH, POOR])
    second.optimizer.restore(copy.deepcopy(first.optimizer.tensors()))
    second.load(memory, stopped)
    found += run(second, stopped)
    assert second.rollouts_of.forgotten == [stopped]
    assert [m["loss"] for m in found] == [m["loss"] for m in expected]
    assert [m.keys() for m in found] == [m.keys() for m in expected]
    assert same(weights(policy), weights(untouched.policy))
    begun = {number for number, _ in first.rollouts_of.sampled}
    again = begun & {number for number, _ in second.rollouts_of.sampled}
    assert not again or stopped == 0


def test_going_back_into_an_earlier_round_forgets_the_later_one(policy: Policy) -> None:
    ei = method(policy, [RICH, POOR])
    memories = {}
    for step in range(1, 7):
        assert ei.ready(step)
        ei.update(step)
        memories[step] = copy.deepcopy(ei.dump())
    ei.load(memories[2], 2)
    assert ei.rounds == [Round(0, 1, 4)]
    assert len(run(ei, 2)) == 6
    assert ei.rollouts_of.sampled == [(0, 1), (1, 5), (1, 5)]
    ei.load(None, 0)
    assert ei.rounds == []
    assert ei.ready(1)


def test_an_update_can_be_traced_to_its_rollouts_long_afterwards(policy: Policy) -> None:
    ei = method(policy, [RICH, POOR])
    run(ei)
    for steps, count in (((3, 4), 6), ((7, 8), 4)):
        seen = [rollout for step in steps for rollout in ei.rollouts(step)]
        names = {(r.response.problem_id, r.response.sample) for r in seen}
        assert len(names) == len(seen) == count
        assert all(rollout.right for rollout in seen)
        for step in steps:
            behind = [rollout.response.problem_id for rollout in ei.rollouts(step)]
            assert ei.problem_ids(step) == behind
    # what alarms of a whole round point at
    assert not all(rollout.right for rollout in ei.rollouts(5))
