"""The order of questions is a pure function of the numbers it is asked for."""

from hypothesis import given
from hypothesis import strategies as st

from trainers.rollouts import QuestionOrder


@given(st.integers(1, 60), st.integers(0, 2**63 - 1), st.integers(1, 80))
def test_every_epoch_holds_every_question_once(count: int, seed: int, size: int) -> None:
    order = QuestionOrder(count, seed)
    stream = [index for number in range(4) for index in order.batch(number, size)]
    for start in range(0, len(stream) - count + 1, count):
        assert sorted(stream[start : start + count]) == list(range(count))


def test_a_batch_depends_on_nothing_but_its_number() -> None:
    order = QuestionOrder(50, 3)
    forwards = [order.batch(number, 8) for number in range(30)]
    backwards = [QuestionOrder(50, 3).batch(number, 8) for number in reversed(range(30))]
    assert forwards == backwards[::-1]
    assert order.take(17, 20) == (order.take(0, 60))[17:37]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    epochs = [QuestionOrder(20, 0).batch(number, 20) for number in range(3)]
    assert len(set(epochs)) == 3
    assert QuestionOrder(20, 1).batch(0, 20) != epochs[0]


def test_a_batch_can_be_larger_than_the_data() -> None:
    found = QuestionOrder(3, 0).batch(0, 8)
    assert len(found) == 8
    assert [found.count(index) for index in range(3)] in ([3, 3, 2], [3, 2, 3], [2, 3, 3])
