"""What is appended to a response without a complete answer, state by state."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engines.base import FinishReason
from core.probing.closing import CLOSING, close_answer, missing_part, open_answer
from core.responses.parse import parse_response

CAPPED, EOS, STOPPED = FinishReason.LENGTH, FinishReason.EOS, FinishReason.STOP_STRING


@pytest.mark.parametrize("finish", [CAPPED, EOS])
@pytest.mark.parametrize(
    ("text", "appended"),
    [
        ("", " </think> <answer>"),
        ("so it is 4", " </think> <answer>"),
        ("so it is 4 ", "</think> <answer>"),
        ("so it is 4.\n", " </think> <answer>"),
        ("so it is 4 <", "/think> <answer>"),
        ("so it is 4 </thi", "nk> <answer>"),
        ("so it is 4</thi", "nk> <answer>"),
        ("so it is 4 </think>", " <answer>"),
        ("so it is 4 </think> ", "<answer>"),
        ("so it is 4 </think> <answ", "er>"),
        ("so it is 4 </think>\n", " </think> <answer>"),
        ("so it is 4 </think> The result is 4.", " </think> <answer>"),
        ("so it is 4 <answ", " </think> <answer>"),
        ("so it is 4 </answer>", " </think> <answer>"),
    ],
)
def test_without_an_open_answer_what_is_missing_of_the_tags_is_appended(
    text: str, appended: str, finish: FinishReason
) -> None:
    opening = open_answer(text, finish)
    assert (opening.appended, opening.ended) == (appended, False)


@pytest.mark.parametrize("text", ["x </think> <answer>", "x </think> <answer> 4", "x <answer> 4"])
def test_a_response_that_was_cut_inside_its_answer_just_goes_on(text: str) -> None:
    opening = open_answer(text, CAPPED)
    assert (opening.appended, opening.ended) == ("", False)


def test_a_response_that_ended_inside_its_answer_is_not_asked_again() -> None:
    assert open_answer("x </think> <answer> 4", EOS).ended


def test_another_stop_string_inside_an_answer_is_no_end() -> None:
    assert not open_answer("x </think> <answer> 4", STOPPED).ended


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("x </think> <answer> 4", "x </think> <answer> 4 </answer>"),
        ("x </think> <answer> 4 ", "x </think> <answer> 4 </answer>"),
        ("x </think> <answer> 4 </ans", "x </think> <answer> 4 </answer>"),
        ("x </think> <answer> 4 </answer>", "x </think> <answer> 4 </answer>"),
    ],
)
def test_an_answer_that_the_model_ended_gets_the_tag_it_lacks(text: str, whole: str) -> None:
    assert close_answer(text, EOS) == whole


def test_an_answer_that_outran_its_budget_stays_open() -> None:
    assert close_answer("x </think> <answer> 4 or", CAPPED) == "x </think> <answer> 4 or"


@given(st.text() | st.text(alphabet="</think> <answer>", max_size=30))
def test_what_is_opened_always_has_the_separator_of_the_format(text: str) -> None:
    opening = open_answer(text, CAPPED)
    whole = text + opening.appended
    if opening.appended:
        assert whole.endswith(CLOSING.lstrip())
    assert parse_response(whole).answer_opens
    assert parse_response(close_answer(f"{whole} 4", EOS)).closed


@given(st.text(alphabet="ab<", max_size=6), st.text(alphabet="ab<", min_size=1, max_size=6))
def test_nothing_is_appended_twice(text: str, tail: str) -> None:
    whole = text + missing_part(text, tail)
    assert whole.endswith(tail.lstrip())
    assert missing_part(whole, tail) == ""
