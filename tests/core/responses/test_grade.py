import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.engines.base import FinishReason
from core.responses.grade import (
    GradedText,
    GraderName,
    GradingItem,
    Placeholders,
    ResponseType,
    grade_responses,
)
from core.responses.names import GRADER_VERSIONS, FailureClass, FailureFlag
from core.responses.symbolic import Comparison, Question, compare_symbolically

GSM8K = Path(__file__).parents[4] / "shared" / "data" / "gsm8k" / "test.jsonl"
PROMPT = Placeholders(
    reasoning=frozenset({"reasoning process here"}), answer=frozenset({"answer here"})
)
R1, STRICT = GraderName.R1_ZERO, GraderName.STRICT
LENIENT, DIAGNOSTIC = GraderName.LENIENT, GraderName.DIAGNOSTIC


def grade(
    text: str, truth: str = "7", finish: FinishReason = FinishReason.STOP_STRING
) -> GradedText:
    return grade_responses([GradingItem(text, truth, finish, PROMPT)])[0]


def right(graded: GradedText) -> set[GraderName]:
    return {name for name, verdict in graded.verdicts.items() if verdict.right}


@pytest.fixture
def asked_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every comparison that is sent to the worker process, and is answered by it."""
    asked: list[tuple[str, str]] = []

    def compare(given: str, truth: str, limit: float, question: Question) -> Comparison:
        asked.append((given, truth))
        return compare_symbolically(given, truth, limit, question)

    monkeypatch.setattr("core.responses.comparer.compare_symbolically", compare)
    return asked


TAGGED = {R1, STRICT, LENIENT, DIAGNOSTIC}


def test_well_formed_right_answer_is_right_under_every_tag_grader():
    graded = grade(" 3 + 4 </think> <answer> 7 </answer>")
    assert right(graded) == TAGGED
    assert graded.closed
    assert graded.unparseable is False
    assert graded.verdicts[R1].type is ResponseType.TYPE1
    assert all(graded.failures[name] is None for name in TAGGED)


def test_wrong_number_is_type2():
    graded = grade(" 3 + 5 </think> <answer> 8 </answer>")
    assert right(graded) == set()
    assert graded.verdicts[R1].type is ResponseType.TYPE2
    assert graded.failures[R1] is FailureClass.WRONG_NUMBER


def test_missing_space_between_tags_is_type3():
    graded = grade(" 3 + 4 </think><answer> 7 </answer>")
    assert graded.verdicts[R1].type is ResponseType.TYPE3
    assert right(graded) == {LENIENT}
    assert graded.failures[R1] is FailureClass.BAD_SEPARATOR
    assert FailureFlag.RIGHT_BY_LAST_NUMBER in graded.flags


def test_unclosed_answer_counts_as_type3_and_diagnostic_reads_its_number():
    graded = grade(" 3 + 4 </think> <answer> 7", finish=FinishReason.EOS)
    assert graded.verdicts[R1].type is ResponseType.TYPE3
    assert right(graded) == {LENIENT, DIAGNOSTIC}
    assert graded.failures[R1] is FailureClass.UNCLOSED_ANSWER


@pytest.mark.parametrize(
    ("loophole", "failure"),
    [
        (" a </think> b </think> <answer> 7 </answer>", FailureClass.REPEATED_TAGS),
        (" <think> a </think> <answer> 7 </answer>", FailureClass.REPEATED_TAGS),
        (" a </think> <answer> 3 </answer> <answer> 7 </answer>", FailureClass.REPEATED_TAGS),
        (" a </answer> b </think> <answer> 7 </answer>", FailureClass.REPEATED_TAGS),
        (" a </think> <answer> 7 </answer> m", FailureClass.TRAILING_TEXT),
        (" a </think> <answer> 7 = 7 </answer>", FailureClass.SEVERAL_NUMBERS),
        (" </think> <answer> 7 </answer>", FailureClass.RIGHT_NUMBER_REFUSED),
        (
            "reasoning process here </think> <answer> 7 </answer>",
            FailureClass.RIGHT_NUMBER_REFUSED,
        ),
    ],
)
def test_strict_refuses_what_r1_zero_rewards(loophole: str, failure: FailureClass):
    graded = grade(loophole)
    assert graded.verdicts[R1].right
    assert not graded.verdicts[STRICT].right
    assert graded.failures[STRICT] is failure
    assert FailureFlag.RIGHT_BY_R1_ZERO in graded.flags


def test_answer_closed_before_it_opens_is_rewarded_by_r1_zero_alone():
    graded = grade("</answer> a </think> <answer> 7", finish=FinishReason.EOS)
    assert graded.verdicts[R1].right
    assert not graded.verdicts[STRICT].right
    assert graded.failures[STRICT] is FailureClass.UNCLOSED_ANSWER


def test_second_answer_left_open_is_refused_by_strict():
    graded = grade(" a </think> <answer> 3 </answer> <answer> 7", finish=FinishReason.LENGTH)
    assert graded.verdicts[R1].right
    assert graded.failures[STRICT] is FailureClass.TRUNCATED_ANSWER


def test_units_follow_the_course_grader():
    assert R1 in right(grade(" a </think> <answer> 7 apples </answer>"))
    refused = grade(" a </think> <answer> 7 dollars </answer>")
    assert right(refused) == {LENIENT}
    assert refused.failures[R1] is FailureClass.RIGHT_NUMBER_REFUSED


def test_number_cut_by_the_cap_is_not_the_last_number():
    cut = grade(" so 12 and then 7", finish=FinishReason.LENGTH)
    assert not cut.verdicts[LENIENT].right
    assert FailureFlag.RIGHT_BY_LAST_NUMBER not in cut.flags
    assert grade(" so 12 and then 7", finish=FinishReason.EOS).verdicts[LENIENT].right


def test_question_only_reads_the_last_box():
    graded = grade("so \\boxed{3}, no, \\boxed{7}.", finish=FinishReason.EOS)
    assert right(graded) == {GraderName.QUESTION_ONLY, LENIENT, DIAGNOSTIC}
    assert graded.verdicts[GraderName.QUESTION_ONLY].extracted == "7"


def test_box_inside_the_answer_is_unpacked():
    assert R1 in right(grade(" a </think> <answer> it is \\boxed{7} </answer>"))


def test_unparseable_is_asked_only_of_numeric_truths():
    assert grade(" a </think> <answer> 3+4=7 </answer>").unparseable is True
    assert grade(" a </think> <answer> 7").unparseable is False
    assert grade(" a </think> <answer> x </answer>", truth="x+1").unparseable is None


def test_expressions_are_compared_symbolically():
    item = GradingItem(" a </think> <answer> 1+x </answer>", "x+1", FinishReason.STOP_STRING)
    assert R1 in right(grade_responses([item], time_limit_s=60)[0])


@pytest.mark.slow
def test_time_out_counts_as_wrong():
    item = GradingItem(" a </think> <answer> 9**9**9**9 </answer>", "7.5", FinishReason.STOP_STRING)
    (graded,) = grade_responses([item], time_limit_s=0.5)
    assert graded.verdicts[R1].timed_out
    assert graded.failures[R1] is graded.failures[STRICT] is FailureClass.GRADER_TIMEOUT


def test_equal_answers_are_compared_once(asked_of_the_worker: list[tuple[str, str]]):
    texts = [f" thought {n} </think> <answer>1+x</answer>" for n in range(3)]
    items = [GradingItem(text, "x+1", FinishReason.STOP_STRING) for text in texts]
    assert all(one.verdicts[R1].right for one in grade_responses(items, time_limit_s=60))
    assert asked_of_the_worker == [("1+x", "x+1")]


@pytest.mark.parametrize("truth", ["7", "7.5", "x+1", "\\frac{3}{4}"])
@pytest.mark.parametrize(
    "answer",
    ["{" * 10_000, "9" * 1_000_000, "7\0", "\ud800", "", "\\frac{" * 1000, "<answer>" * 1000],
    ids=lambda text: ascii(text[:8]),
)
def test_hostile_answers_are_wrong_without_an_exception(answer: str, truth: str):
    graded = grade(f" a </think> <answer> {answer} </answer>", truth)
    assert not graded.verdicts[R1].right
    assert graded.failures[STRICT] in FailureClass


def test_every_grader_has_a_version():
    assert set(GRADER_VERSIONS) == set(GraderName)


def test_the_worked_solutions_of_gsm8k_are_right_without_the_worker(
    asked_of_the_worker: list[tuple[str, str]],
):
    if not GSM8K.is_file():
        pytest.skip("needs ../shared/data/gsm8k")
    items = []
    for line in GSM8K.read_text(encoding="utf-8").splitlines():
        reasoning, _, truth = json.loads(line)["answer"].partition("#### ")
        text = f" {reasoning}</think> <answer> {truth} </answer>"
        items.append(GradingItem(text, truth, FinishReason.STOP_STRING))
    graded = grade_responses(items)
    assert all(right(one) >= TAGGED for one in graded)
    assert len(graded) == 1319
    assert asked_of_the_worker == []


TAGS = [
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "</think> <answer>",
    "\\boxed{7}",
    "\\boxed{",
]
ANSWERS = [" ", "7", "7.0", "8", "$7", "7 apples", "7 or 7", "answer here", "so it is then", "\n"]
FRAGMENTS = st.sampled_from([*TAGS, *ANSWERS])
RESPONSES = st.one_of(
    st.lists(FRAGMENTS, max_size=12).map("".join),
    st.lists(FRAGMENTS, max_size=4).map(lambda p: f" a </think> <answer> {''.join(p)} </answer>"),
    st.text(max_size=60),
)


@pytest.mark.slow
@given(RESPONSES, st.sampled_from(["7", "8", "1,234", "Evelyn"]), st.sampled_from(FinishReason))
@settings(deadline=None, max_examples=400)
def test_verdicts_are_consistent_for_any_text(text: str, truth: str, finish: FinishReason):
    graded = grade(text, truth, finish)
    verdicts = graded.verdicts
    assert set(verdicts) == set(graded.failures) == set(GraderName) - {GraderName.MULTIPLE_CHOICE}
    for name, verdict in verdicts.items():
        assert (graded.failures[name] is None) == verdict.right
        assert verdict.formatted or not verdict.right
    assert verdicts[R1].right or not verdicts[STRICT].right
    assert verdicts[R1].formatted or not verdicts[STRICT].formatted
    assert verdicts[LENIENT].right or not verdicts[R1].right
    assert verdicts[LENIENT].right or not verdicts[DIAGNOSTIC].right
    assert verdicts[DIAGNOSTIC].right or not verdicts[R1].right
    assert graded.closed or not verdicts[STRICT].formatted
    assert (FailureFlag.RIGHT_BY_R1_ZERO in graded.flags) == verdicts[R1].right
    expected = verdicts[R1].right or FailureFlag.RIGHT_BY_LAST_NUMBER in graded.flags
    assert verdicts[LENIENT].right == expected
