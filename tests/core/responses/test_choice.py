"""The grader multiple_choice: which letter a response names, and what is wrong with one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engines.base import FinishReason
from core.responses.course import parse_mmlu_response
from core.responses.grade import GradingItem, grade_responses
from core.responses.names import FailureClass, GraderName

CHOICE = GraderName.MULTIPLE_CHOICE
OPTIONS = ("head", "foot", "chest", "hand")


def graded(text: str, finish: FinishReason = FinishReason.EOS, truth: str = "C"):
    (found,) = grade_responses([GradingItem(text, truth, finish, options=OPTIONS)])
    return found.verdicts[CHOICE], found.failures[CHOICE]


@pytest.mark.parametrize(
    "text",
    [
        " C",
        "(C)",
        "C. chest",
        "The correct answer is C.",
        "chest",
        " it beats there </think> <answer> C </answer>",
        " A is the head, so A? The answer is A. No. </think> <answer> (C) </answer>",
        " long </think> <answer> C",
    ],
)
def test_the_right_letter_is_right_in_every_form(text: str) -> None:
    verdict, failure = graded(text)
    assert (verdict.formatted, verdict.right, verdict.extracted) == (True, True, "C")
    assert failure is None


@pytest.mark.parametrize(
    ("text", "finish", "failure", "extracted"),
    [
        ("The answer is B.", "eos", "wrong_number", "B"),
        ("hand", "length", "wrong_number", "D"),
        ("I do not know", "eos", "stopped_without_answer", None),
        ("", "eos", "stopped_without_answer", None),
        ("The heart is an organ which", "length", "truncated_thinking", None),
        ("The heart is an organ which", "unknown", "unknown_stop", None),
        ("hm </think> <answer> well", "length", "truncated_answer", None),
        ("hm </think> <answer> well", "eos", "unclosed_answer", None),
        ("hm </think> <answer> well", "unknown", "unknown_stop", None),
        ("hm </think> <answer>  </answer>", "stop_string", "empty_answer", None),
        ("hm </think> <answer> 42 </answer>", "stop_string", "wrong_number", None),
        (
            "hm </think> <answer> it is in the middle of it </answer>",
            "stop_string",
            "sentence_answer",
            None,
        ),
    ],
)
def test_a_wrong_response_has_one_class(
    text: str, finish: str, failure: str, extracted: str | None
) -> None:
    verdict, found = graded(text, FinishReason(finish))
    assert not verdict.right
    assert verdict.formatted == (extracted is not None)
    assert (found, verdict.extracted) == (FailureClass(failure), extracted)


_PIECES = [*"ABCDx .()", "answer", "is", "chest"]


@given(st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))
def test_without_tags_the_course_function_decides(text: str) -> None:
    verdict, failure = graded(text)
    letter = parse_mmlu_response({"options": OPTIONS}, text)
    assert verdict.extracted == letter
    assert verdict.right == (letter == "C") == (failure is None)


def test_problems_without_options_have_no_such_verdict() -> None:
    (found,) = grade_responses([GradingItem("C", "C")])
    assert set(found.verdicts) == set(found.failures) == set(GraderName) - {CHOICE}
