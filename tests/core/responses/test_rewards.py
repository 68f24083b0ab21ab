import pytest

from core.responses.rewards import question_only_reward_fn, r1_zero_reward_fn

TYPE1 = {"reward": 1.0, "format_reward": 1.0, "answer_reward": 1.0}
TYPE2 = {"reward": 0.0, "format_reward": 1.0, "answer_reward": 0.0}
TYPE3 = {"reward": 0.0, "format_reward": 0.0, "answer_reward": 0.0}


@pytest.mark.parametrize(
    ("response", "truth", "reward"),
    [
        ("a </think> <answer> 7 </answer>", "7", TYPE1),
        ("a </think> <answer> 7 </answer>", 7, TYPE1),
        ("a </think> <answer> 7.5 </answer>", 7.5, TYPE1),
        ("a </think> <answer> 7 </answer>", ["6", "7"], TYPE1),
        ("a </think> <answer> 8 </answer>", ["6", "7"], TYPE2),
        ("a </think> <answer> \\boxed{7 </answer>", "7", TYPE2),
        ("a </think><answer> 7 </answer>", "7", TYPE3),
        ("7", "7", TYPE3),
    ],
)
def test_r1_zero_reward(response: str, truth: object, reward: dict[str, float]):
    assert r1_zero_reward_fn(response, truth) == reward


@pytest.mark.parametrize(
    ("response", "truth", "reward"),
    [
        ("so \\boxed{7}", "7", TYPE1),
        ("so \\boxed{\\frac{14}{2}}", "7", TYPE2),
        ("so \\boxed{8}", ["7"], TYPE2),
        ("so 7", "7", TYPE3),
    ],
)
def test_question_only_reward(response: str, truth: object, reward: dict[str, float]):
    assert question_only_reward_fn(response, truth) == reward
