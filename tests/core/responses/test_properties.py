"""What holds for any text under every grader, whatever is in it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.engines.base import FinishReason
from core.responses.breakdown import UNFINISHED, OutcomeRow, break_down
from core.responses.grade import GradedText, GraderName, GradingItem, grade_responses
from core.responses.names import FailureClass
from core.responses.wording import Placeholders

PROMPT = Placeholders(frozenset({"your working"}), frozenset({"your result"}))
# None of these texts answers a question with options, which alone multiple_choice judges.
EVERYWHERE = set(GraderName) - {GraderName.MULTIPLE_CHOICE}
TAGGED = EVERYWHERE - {GraderName.QUESTION_ONLY}
PIECES = [
    *("<think>", "</think>", "<answer>", "</answer>", "</think> <answer>", " your working "),
    *("\\boxed{", "}", "\\boxed{7}", "####", "\n", " ", " your result ", "\0", "\u202e", "\ud800"),
    *("7", "７", "-", "−", "1,234", "1/2", "½", "\\frac{1}{2}", "0.5", "e9", ".", "{" * 50),
    *("x+1", "(1,2)", "√2", "\\sqrt{2}", "$", " dollars", " apples", " is ", "Evelyn", "答案是"),
]
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=4).map(
        lambda pieces: f" a </think> <answer> {''.join(pieces)} </answer>"
    ),
    st.text(st.characters(codec=None), max_size=80),
)
TRUTHS = st.sampled_from(
    [
        *("7", "-1,234", "\\frac{1}{2}", "1 1/2", "50\\%", "7 \\text{ cm}", "Evelyn"),
        *("(1,2)", "\\sqrt{2}", "x+1", "", "\\boxed{7}", "\\boxed{", "so\n#### 7", "####", "\0"),
    ]
)
ITEMS = st.builds(GradingItem, TEXTS, TRUTHS, st.sampled_from(FinishReason), st.just(PROMPT))


def grade(item: GradingItem) -> GradedText:
    # Nothing above takes long; a limit that a busy machine cannot reach keeps time-outs out.
    return grade_responses([item], time_limit_s=60)[0]


@pytest.mark.slow
@given(ITEMS)
@settings(deadline=None, max_examples=300)
def test_any_text_is_right_or_has_one_class_under_each_grader(item: GradingItem):
    graded = grade(item)
    for name in EVERYWHERE:
        verdict, failure = graded.verdicts[name], graded.failures[name]
        assert (failure is None) == verdict.right
        assert failure is None or failure in FailureClass
        assert verdict.formatted or not verdict.right


@pytest.mark.slow
@given(ITEMS)
@settings(deadline=None, max_examples=300)
def test_strict_is_inside_r1_zero_and_r1_zero_inside_lenient(item: GradingItem):
    right = {name: verdict.right for name, verdict in grade(item).verdicts.items()}
    assert right[GraderName.STRICT] <= right[GraderName.R1_ZERO]
    assert right[GraderName.R1_ZERO] <= right[GraderName.DIAGNOSTIC] <= right[GraderName.LENIENT]


@pytest.mark.slow
@given(st.lists(ITEMS, max_size=8), st.sampled_from(sorted(TAGGED)))
@settings(deadline=None, max_examples=100)
def test_unfinished_classes_add_up_to_the_unclosed_failures(
    items: list[GradingItem], grader: GraderName
):
    graded = grade_responses(items, time_limit_s=60)
    rows = [
        OutcomeRow(one.failures[grader], one.verdicts[GraderName.LENIENT].right, item.finish, 1)
        for item, one in zip(items, graded, strict=True)
    ]
    summary = break_down(rows)
    counted = sum(amount for name, amount in summary.by_class.items() if name in UNFINISHED)
    unclosed = [one for one in graded if not one.closed and one.failures[grader] is not None]
    assert counted == summary.unclosed == len(unclosed)
    assert sum(summary.by_class.values()) == summary.failures


@given(ITEMS)
@settings(deadline=None, max_examples=150)
def test_flags_of_a_grader_are_those_of_the_text_and_of_its_refusals(item: GradingItem):
    graded = grade(item)
    for name in EVERYWHERE:
        shown = graded.flags_under(name)
        assert shown <= graded.flags
        assert graded.verdicts[name].right or shown == graded.flags
