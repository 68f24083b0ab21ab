import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.engines.base import FinishReason
from core.responses.breakdown import FORMAT_CLASSES, UNFINISHED
from core.responses.grade import GraderName, GradingItem, Placeholders, grade_responses
from core.responses.names import DESCRIPTIONS, FailureClass, FailureFlag

STOP, EOS = FinishReason.STOP_STRING, FinishReason.EOS
LENGTH, UNKNOWN = FinishReason.LENGTH, FinishReason.UNKNOWN
PROMPT = Placeholders(frozenset({"your working"}), frozenset({"your result"}))

# A response, why it ended, and its class under r1_zero when the truth is 7.
TABLE = [
    (" I think that", LENGTH, "truncated_thinking"),
    (" I think </think>", LENGTH, "truncated_thinking"),
    (" a </think> <answer> 1", LENGTH, "truncated_answer"),
    (" I am done.", EOS, "stopped_without_answer"),
    (" I am done.", STOP, "stopped_without_answer"),
    (" 8 </answer>", STOP, "missing_answer_open"),
    (" a </think> <answer> 8", EOS, "unclosed_answer"),
    (" a <answer> 7 </answer>", STOP, "missing_think_close"),
    (" a </think>  <answer> 7 </answer>", STOP, "bad_separator"),
    (" a </think>\n<answer> 7 </answer>", STOP, "bad_separator"),
    (" a </think> <answer> 7 </answer> <answer> 8 </answer>", STOP, "repeated_tags"),
    (" a </think> <answer> 7 </answer> and so on", EOS, "trailing_text"),
    (" a </think> <answer>  </answer>", STOP, "empty_answer"),
    (" a </think> <answer> your result </answer>", STOP, "placeholder_answer"),
    (" a </think> <answer> She has exactly 7 left </answer>", STOP, "sentence_answer"),
    (" a </think> <answer> 3+4 </answer>", STOP, "several_numbers"),
    (" a </think> <answer> seven </answer>", STOP, "not_a_number"),
    (" a </think> <answer> 7 books </answer>", STOP, "right_number_refused"),
    (" I think that", UNKNOWN, "unknown_stop"),
    (" a </think> <answer> 7", UNKNOWN, "unknown_stop"),
    (" a </think> <answer> 8 </answer>", STOP, "wrong_number"),
    (" a </think> <answer> 8 </answer>", UNKNOWN, "wrong_number"),
    (" a </think> b </think> <answer> 8 </answer>", STOP, "repeated_tags"),
    (" <think> a </think> <answer> 8 </answer>", STOP, "repeated_tags"),
    (" <answer> 7 </answer> a </think>", EOS, "missing_think_close"),
    (" a </think> <answer> \\boxed{} </answer>", STOP, "empty_answer"),
    (" a </think> <answer> **Your result.** </answer>", STOP, "placeholder_answer"),
]


@pytest.mark.parametrize(("text", "finish", "expected"), TABLE)
def test_class_of_a_wrong_response(text: str, finish: FinishReason, expected: str):
    graded = grade_responses([GradingItem(text, "7", finish, PROMPT)])[0]
    assert graded.failures[GraderName.R1_ZERO] == expected


def test_the_table_names_every_class_but_the_time_out():
    assert {expected for _, _, expected in TABLE} | {"grader_timeout"} == set(FailureClass)


@pytest.mark.parametrize(
    ("text", "finish", "expected"),
    [
        ("so 8", EOS, "stopped_without_answer"),
        ("so 8", LENGTH, "truncated_thinking"),
        ("so \\boxed{8", LENGTH, "truncated_answer"),
        ("so \\boxed 8", EOS, "stopped_without_answer"),
        ("so \\boxed{8", EOS, "unclosed_answer"),
        ("so\n#### 7 books", EOS, "right_number_refused"),
        ("so\n#### 7\nBye", EOS, "trailing_text"),
        ("so\n####", EOS, "empty_answer"),
        ("\\boxed{7\n#### 7", EOS, "unclosed_answer"),
        ("so \\boxed{}", EOS, "empty_answer"),
        ("so \\boxed{7 books}", EOS, "right_number_refused"),
        ("so \\boxed{8}", EOS, "wrong_number"),
    ],
)
def test_class_under_question_only(text: str, finish: FinishReason, expected: str):
    graded = grade_responses([GradingItem(text, "7", finish)])[0]
    assert graded.failures[GraderName.QUESTION_ONLY] == expected


@pytest.mark.slow
@given(
    st.lists(
        st.sampled_from(
            ["<think>", "</think>", "<answer>", "</answer>", " ", "7", "8", "x", "\\boxed{", "}"]
        ),
        max_size=14,
    ).map("".join),
    st.sampled_from(FinishReason),
    st.sampled_from(["7", "x"]),
)
@settings(deadline=None, max_examples=400)
def test_unfinished_classes_are_the_unclosed_responses(text: str, finish: FinishReason, truth: str):
    graded = grade_responses([GradingItem(text, truth, finish, PROMPT)])[0]
    for name in set(GraderName) - {GraderName.QUESTION_ONLY, GraderName.MULTIPLE_CHOICE}:
        failure = graded.failures[name]
        if failure is None:
            continue
        assert (failure in UNFINISHED) == (not graded.closed)
        assert not failure.value.startswith("truncated") or finish is LENGTH
        assert (failure is FailureClass.UNKNOWN_STOP) <= (finish is UNKNOWN)
        if name is not GraderName.LENIENT and not graded.verdicts[name].formatted:
            refused_reasoning = name is GraderName.STRICT and failure not in FORMAT_CLASSES
            assert failure in FORMAT_CLASSES or refused_reasoning


def test_every_class_is_described_once():
    assert set(DESCRIPTIONS) == set(FailureClass)
    assert len(set(DESCRIPTIONS.values())) == len(FailureClass)


def test_flags_can_hold_together():
    text = "your working </think> <answer> 7 </answer>"
    flags = grade_responses([GradingItem(text, "7", STOP, PROMPT)])[0].flags
    assert flags == {
        FailureFlag.TEMPLATE_COPY,
        FailureFlag.RIGHT_BY_R1_ZERO,
        FailureFlag.RIGHT_BY_LAST_NUMBER,
    }


def test_verdict_flags_are_shown_where_the_grader_says_wrong():
    text = "your working </think> <answer> 7 </answer>"
    graded = grade_responses([GradingItem(text, "7", STOP, PROMPT)])[0]
    assert graded.flags_under(GraderName.R1_ZERO) == {FailureFlag.TEMPLATE_COPY}
    assert graded.flags_under(GraderName.STRICT) == graded.flags
