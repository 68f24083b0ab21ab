"""Which checkpoints stay, and where a rollback goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.best import best_steps, retreat_steps, rollback_target


def test_the_best_is_the_most_accurate_and_of_equals_the_later() -> None:
    scores = {10: 0.5, 20: 0.7, 30: 0.7, 40: 0.2}
    assert best_steps(scores, 1) == {30}
    assert best_steps(scores, 2) == {20, 30}
    assert best_steps(scores, 0) == set()


def test_a_rollback_goes_to_the_best_evaluated_checkpoint_from_before() -> None:
    scores = {10: 0.5, 20: 0.7, 30: 0.9}
    assert rollback_target([5, 10, 20, 25, 30], scores, (), since=28) == 20
    assert rollback_target([5, 10, 20, 25, 30], scores, {20}, since=28) == 10


def test_without_an_evaluated_one_it_goes_to_the_newest_from_before() -> None:
    assert rollback_target([5, 10, 20], {20: 0.9}, (), since=15) == 10
    assert rollback_target([20], {20: 0.9}, (), since=15) is None


def test_a_faulty_checkpoint_is_never_gone_back_to() -> None:
    assert rollback_target([10], {10: 0.9}, {10}, since=15) is None


@pytest.mark.slow
@given(
    every=st.integers(1, 7),
    evaluated=st.integers(1, 9),
    accuracies=st.lists(st.sampled_from([0.0, 0.1, 0.5]), min_size=60, max_size=60),
    back=st.integers(0, 19),
    stop=st.integers(1, 59),
)
def test_what_is_kept_holds_the_best_that_a_rollback_could_want(
    every: int, evaluated: int, accuracies: list[float], back: int, stop: int
) -> None:
    """As if nothing had ever been deleted, wherever something is evaluated before the window."""
    kept: set[int] = set()
    scores: dict[int, float] = {}
    for step in range(1, stop + 1):
        due = step % evaluated == 0
        if due or step % every == 0:
            kept.add(step)
            known = {s: a for s, a in scores.items() if s in kept}
            protected = retreat_steps(kept, known, (), step, window=20)
            kept = {s for s in kept if s in protected or s in sorted(kept)[-2:]}
        if due:
            scores[step] = accuracies[step]
    since = stop - back
    found = rollback_target(kept, scores, (), since)
    wanted = rollback_target(scores, scores, (), since)
    if wanted is not None:
        assert found == wanted
    elif any(step < since for step in range(every, stop + 1, every)) and stop - since >= 19:
        assert found is not None
