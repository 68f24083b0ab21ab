"""How a config becomes decoding settings."""

import pytest

from core.config.load import build_config
from trainers.evaluator import sampling_of


def seed(evaluation: dict[str, object]) -> int:
    resolved = {"max_tokens": 8, "stop": [], **evaluation}
    return sampling_of(build_config({"seed": 3, "evaluation": resolved})).seed


def test_sampling_follows_the_seed_of_the_run_unless_it_has_its_own() -> None:
    assert seed({"temperature": 1.0}) == 3
    assert seed({"temperature": 1.0, "seed": 8}) == 8


@pytest.mark.parametrize("evaluation", [{}, {"seed": 8}])
def test_greedy_decoding_has_no_seed(evaluation: dict[str, object]) -> None:
    assert seed(evaluation) == 0
