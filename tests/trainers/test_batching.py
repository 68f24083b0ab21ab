"""Batches: every example once per epoch, budgets, and micro-batches that keep to theirs."""

from hypothesis import given, settings
from hypothesis import strategies as st

from core.config.schema import TrainSettings
from trainers.batching import plan_batches, split_microbatches
from trainers.tokenization import Example


def example(length: int, name: str = "p") -> Example:
    return Example(name, tuple(range(length)), (False,) * length, 1, length)


def examples(*lengths: int) -> list[Example]:
    return [example(length, f"p{index}") for index, length in enumerate(lengths)]


def test_every_epoch_sees_every_example_once_in_another_order() -> None:
    plan = plan_batches(examples(*[4] * 10), TrainSettings(epochs=2), 4, seed=7)
    assert plan.total == 6
    first = [index for step in (1, 2, 3) for index in plan.batch(step)]
    second = [index for step in (4, 5, 6) for index in plan.batch(step)]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_the_order_is_a_function_of_the_seed() -> None:
    data = examples(*[4] * 50)
    orders = [plan_batches(data, TrainSettings(epochs=1), 5, seed=s).batch(1) for s in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_a_fraction_of_an_epoch_is_a_budget() -> None:
    assert plan_batches(examples(*[4] * 100), TrainSettings(epochs=0.5), 10, seed=0).total == 5


def test_a_token_budget_ends_with_the_step_that_reaches_it() -> None:
    plan = plan_batches(examples(*[10] * 8), TrainSettings(tokens=45), 2, seed=0)
    assert plan.total == 3


def test_a_batch_larger_than_the_data_is_the_data() -> None:
    plan = plan_batches(examples(3, 4), TrainSettings(steps=2), 16, seed=0)
    assert sorted(plan.batch(1)) == sorted(plan.batch(2)) == [0, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 100))
def test_microbatches_hold_everything_once_and_keep_the_budget(
    lengths: list[int], budget: int
) -> None:
    data = examples(*lengths)
    groups = list(split_microbatches(data, budget))
    assert sorted(e.problem_id for g in groups for e in g) == sorted(e.problem_id for e in data)
    for group in groups:
        assert len(group) == 1 or len(group) * max(len(e.token_ids) for e in group) <= budget
