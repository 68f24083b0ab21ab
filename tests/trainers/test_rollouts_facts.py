"""The figures of a batch of rollouts say what its responses are like."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.responses.names import GraderName
from tests.a5ctl.handmade import EOS, LENGTH, STOP, Answer, bad_separator, cut, right, wrong
from tests.trainers.handmade_rollouts import rollouts
from trainers.rollouts_facts import (
    constant_answer,
    excerpts,
    given_answer,
    gives_constant_answer,
    least_likely_first,
    rollout_facts,
    thinks_twice,
)


def says(text: str) -> Answer:
    return f"because </think> <answer> {text} </answer>", STOP


def test_shares_are_of_all_responses() -> None:
    facts = rollout_facts(rollouts([right(10), wrong(10), bad_separator(11), cut(11)]))
    assert (facts["rollouts"], facts["problems"]) == (4, 2)
    assert facts["right_share"] == 0.25
    assert facts["formatted_share"] == 0.5
    assert facts["truncated_share"] == 0.25


def test_every_figure_is_json_ready() -> None:
    facts = rollout_facts(rollouts([right(10), wrong(10)]))
    assert all(type(value) is float for value in facts.values())
    json.dumps(facts, allow_nan=False)


def test_without_responses_there_are_no_figures() -> None:
    assert rollout_facts([]) == {}


def test_lengths_are_the_engines_tokens() -> None:
    texts = [("a " * n, EOS) for n in range(1, 12)]
    facts = rollout_facts(rollouts(texts, samples=11))
    assert (facts["response_tokens"], facts["response_tokens_p90"]) == (6, 10)


def test_entropy_is_that_of_a_token_over_all_responses() -> None:
    batch = rollouts([("a a a", EOS), ("a", EOS)], logprobs=[-1.0, -3.0])
    assert rollout_facts(batch)["rollout_entropy"] == 1.5
    assert rollout_facts(rollouts([("", EOS)] * 2))["rollout_entropy"] == 0


def test_answers_are_compared_by_value() -> None:
    facts = rollout_facts(rollouts([says("7"), says("7.0"), says("$7"), says("eight")]))
    assert facts["top_answer_share"] == 0.75
    assert facts["distinct_answers"] == 0.5


def test_an_answer_is_read_without_the_format_but_not_behind_the_cap() -> None:
    read = [given_answer(r) for r in rollouts([bad_separator(10), ("it is 12", LENGTH)])]
    assert read == [10, None]
    r1_zero = rollouts([("<answer> 3 </answer> </think> <answer> 4", EOS)] * 2)
    assert given_answer(r1_zero[0]) == 4


def test_one_wrong_answer_to_every_problem_is_constant() -> None:
    batch = rollouts([says("1")] * 8)
    assert rollout_facts(batch)["constant_share"] == 1
    assert constant_answer(batch) == (1, 1.0)
    assert gives_constant_answer(batch) == batch


def test_a_common_mistake_in_one_problem_is_no_constant() -> None:
    batch = rollouts([*[says("1")] * 4, *[right(11)] * 4], samples=4)
    assert rollout_facts(batch)["constant_share"] == 0
    assert rollout_facts(batch)["top_answer_share"] == 0.5
    assert gives_constant_answer(batch) == []


def test_where_the_constant_is_right_it_is_none() -> None:
    batch = rollouts([says("10")] * 8)
    assert [r.right for r in batch] == [True, True] + [False] * 6
    # five problems less its home: two of six responses belong to the problem that gets it most
    assert rollout_facts(batch)["constant_share"] == pytest.approx(4 / 6)


def test_an_empty_answer_can_be_the_constant() -> None:
    assert rollout_facts(rollouts([says("")] * 6))["constant_share"] == 1


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        ("a </think> <answer> 1 </answer>", False),
        ("<think> a </think> <answer> 1 </answer>", False),
        ("no tags", False),
        ("a </think> <think> b </think> <answer> 1 </answer>", True),
        ("a </think> b </think> <answer> 1 </answer>", True),
        ("a </think> <answer> 1 </answer> <think> and", True),
        ("<think> a <think> b", True),
    ],
)
def test_a_second_think_block(text: str, twice: bool) -> None:
    (first, _) = rollouts([(text, EOS)] * 2)
    assert thinks_twice(first) is twice
    assert rollout_facts([first])["second_think_share"] == float(twice)


def test_copied_placeholders_and_loops_are_counted() -> None:
    copied = ("reasoning process here </think> <answer> answer here </answer>", STOP)
    loop = ("so 3 and 4 " * 40, LENGTH)
    facts = rollout_facts(rollouts([copied, right(10), loop, right(11)]))
    assert (facts["template_copy_share"], facts["degenerate_share"]) == (0.25, 0.25)


def test_the_grader_of_the_rollouts_decides() -> None:
    answers = [("a </think> b </think> <answer> 10 </answer>", STOP)] * 2
    assert rollout_facts(rollouts(answers))["right_share"] == 0
    assert rollout_facts(rollouts(answers, grader=GraderName.R1_ZERO))["right_share"] == 1


def test_unlikely_responses_come_first() -> None:
    batch = rollouts([right(10), wrong(10), ("", EOS), right(11)], logprobs=[-1, -5, 0, -2])
    assert [r.response.sample for r in least_likely_first(batch)] == [1, 1, 0, 0]


def test_excerpts_are_one_harmless_line_each() -> None:
    hostile = "x" * 500 + "\x1b[2J\n\u202e\ud800 end"
    (shown,) = excerpts(rollouts([(hostile, EOS)] * 2), 1).items()
    assert shown[0] == "p000/0"
    assert shown[1].endswith("\\x1b[2J\\n\\u202e\\ud800 end")
    assert len(shown[1]) < 200
    assert shown[1].isprintable()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
def test_any_text_has_figures_between_0_and_1(texts: list[str]) -> None:
    batch = rollouts([(text, EOS) for text in texts], samples=1)
    facts = rollout_facts(batch)
    counted = {"rollouts", "problems", "response_tokens", "response_tokens_p90"} | {
        "rollout_entropy"
    }
    assert all(0 <= facts[name] <= 1 for name in facts.keys() - counted)
    assert all(text.isprintable() for text in excerpts(batch, 6).values())
