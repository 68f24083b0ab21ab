from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.engines.base import FinishReason
from core.responses.breakdown import OutcomeRow
from core.responses.causes import (
    MEANINGS,
    CauseContext,
    CauseName,
    Earlier,
    Findings,
    Sibling,
    Subject,
    find_causes,
)
from core.responses.names import FailureClass, FailureFlag, GraderName
from tests.core.responses import failing
from tests.core.responses.failing import answered, ended, joined, respond

FAILURES = {
    "cap": (failing.capped(30), CauseName.LENGTH_CAP),
    "on_after_answer": (failing.goes_on, CauseName.NEVER_STOPS),
    "loops": (failing.loops, CauseName.NEVER_STOPS),
    "nearly_loops": (failing.nearly_loops, CauseName.NEVER_STOPS),
    "open": (failing.never_closes, CauseName.NEVER_CLOSES),
    "open_and_on": (failing.goes_on_open, CauseName.NEVER_CLOSES),
    "no_think_close": (failing.no_think_close, CauseName.NEVER_CLOSES),
    "no_space": (joined(""), CauseName.WRONG_SEPARATOR),
    "newline": (joined("\n"), CauseName.WRONG_SEPARATOR),
    "words_between": (joined(" The answer: "), CauseName.WRONG_SEPARATOR),
    "empty": (failing.says_nothing, CauseName.SAYS_NOTHING),
    "hashes": (ended("\n#### {n}"), CauseName.NO_TAGS),
    "box": (ended("The final answer is \\boxed{{{n}}}."), CauseName.NO_TAGS),
    "plain": (ended("So {name} has {n} {thing}."), CauseName.NO_TAGS),
    "think_only": (ended("</think> {n}"), CauseName.NO_TAGS),
    "sentence": (answered("The answer is {n}."), CauseName.SENTENCE_ANSWER),
    "short_sentence": (answered("{name} has {n}"), CauseName.SENTENCE_ANSWER),
    "explained": (answered("{n} because she found so many more"), CauseName.SENTENCE_ANSWER),
    "equation": (answered("3 + 4 = {n}"), CauseName.SENTENCE_ANSWER),
    "copies": (failing.copies, CauseName.TEMPLATE_COPY),
    "copies_reasoning": (failing.copies_reasoning, CauseName.TEMPLATE_COPY),
    "dollars": (answered("{n} dollars"), CauseName.REFUSED_NUMBERS),
    "euro": (answered("€{n}"), CauseName.REFUSED_NUMBERS),
    "constant": (failing.constant, CauseName.CONSTANT_ANSWER),
}


def named(subjects: list[Subject], **known) -> list[CauseName]:
    context = CauseContext(**{"cap": failing.CAP, **known})
    return [found.cause for found in find_causes(subjects, context).causes]


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_a_run_that_fails_in_one_way_is_told_that_way_alone(kind: str, share: float):
    fail, cause = FAILURES[kind]
    cap = 30 if kind == "cap" else failing.CAP
    assert named(respond(fail, share=share), cap=cap) in told(kind, cause, share)


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_a_dump_without_reasons_of_ending_is_told_the_same(kind: str, share: float):
    fail, cause = FAILURES[kind]
    subjects = respond(fail, share=share, finish_known=False, prompt_known=False)
    assert named(subjects, cap=None, from_tool=True) in told(kind, cause, share)


def told(kind: str, cause: CauseName, share: float) -> list[list[CauseName]]:
    """What may be said: one cause, and which one where the texts leave no doubt."""
    if kind == "open_and_on" and share < 1:  # repeats itself in an open answer, while others close
        return [[cause], [CauseName.NEVER_STOPS]]
    return [[cause]]


@pytest.mark.parametrize("kind", ["no_space", "sentence", "dollars", "copies", "no_think_close"])
def test_a_tool_that_cuts_stop_strings_off_hides_no_cause(kind: str):
    fail, cause = FAILURES[kind]
    subjects = respond(fail, stop_kept=False)
    assert named(subjects, cap=None, from_tool=True) == [cause]


@pytest.mark.parametrize("n", [40, 300])
@pytest.mark.parametrize("accuracy", [0.45, 0.6, 0.75])
@pytest.mark.parametrize("seed", range(3))
def test_a_working_model_is_accused_of_nothing(seed: int, accuracy: float, n: int):
    assert named(respond(seed=seed, accuracy=accuracy, n=n)) == []


@pytest.mark.parametrize("finish_known", [True, False])
@pytest.mark.parametrize("stop_kept", [True, False])
def test_a_working_model_in_another_tools_dump_is_accused_of_nothing(
    finish_known: bool, stop_kept: bool
):
    subjects = respond(finish_known=finish_known, stop_kept=stop_kept)
    found = find_causes(subjects, CauseContext(from_tool=True))
    assert found.causes == ()


def test_a_stop_string_that_the_tool_cut_off_is_no_open_answer():
    subjects = respond(answered("{n}"), stop_kept=False)
    assert find_causes(subjects, CauseContext(from_tool=True)) == Findings((), stop_cut_off=True)
    own = find_causes(subjects, CauseContext(from_tool=False))
    assert [found.cause for found in own.causes] == [CauseName.NEVER_CLOSES]
    assert not own.stop_cut_off


def test_wrong_arithmetic_in_perfect_format():
    (found,) = find_causes(respond(failing.misreckons), CauseContext()).causes
    assert found.cause is CauseName.WRONG_MATH
    assert "working models of this kind get 45 to 75%" in found.evidence
    assert found.count == found.failures


def test_false_calculations_accuse_where_the_accuracy_alone_does_not():
    subjects = respond(answered("{n}"), accuracy=0.36)
    assert named(subjects) == []
    shifted = [
        Subject(
            s.outcome,
            s.text.replace(" + ", " + 1") if s.outcome.failure is not None else s.text,
            s.truth,
            s.given,
            s.problem,
        )
        for s in subjects
    ]
    assert named(shifted) == [CauseName.WRONG_MATH]


def test_what_the_run_could_do_when_it_began_accuses_its_math():
    subjects = respond(answered("{n}"), accuracy=0.36)
    fell = Earlier(run="sft-a", step=0, before=0.55, now=0.36, low=0.13)
    (found,) = find_causes(subjects, CauseContext(earlier=fell)).causes
    assert found.cause is CauseName.WRONG_MATH
    assert "55.0% were right before (sft-a step 0), 36.0% are now" in found.evidence
    a_little = Earlier(run="sft-a", step=0, before=0.42, now=0.36, low=0.01)
    assert named(subjects, earlier=a_little) == []


def test_bad_math_is_not_named_where_most_responses_are_not_well_formed():
    subjects = respond(failing.never_closes, share=0.7, accuracy=0.1)
    assert named(subjects) == [CauseName.NEVER_CLOSES]


def test_causes_hold_together_the_one_behind_most_failures_first():
    both = respond(failing.capped(30), share=1.0, n=200) + respond(
        failing.loops, share=1.0, n=100, seed=1
    )
    found = find_causes(both, CauseContext(cap=30)).causes
    assert {cause.cause for cause in found} == {CauseName.LENGTH_CAP, CauseName.NEVER_STOPS}
    failures = [cause.failures for cause in found]
    assert failures == sorted(failures, reverse=True)


def test_five_responses_accuse_nobody():
    assert named(respond(failing.never_closes, n=5)) == []
    assert named(respond(failing.never_closes, n=30)) == [CauseName.NEVER_CLOSES]


def test_samples_of_one_problem_weigh_as_one_response():
    rows = respond(failing.never_closes, n=40)
    same = [Subject(s.outcome, s.text, s.truth, s.given, f"p{i % 5}") for i, s in enumerate(rows)]
    assert named(rows) == [CauseName.NEVER_CLOSES]
    assert named(same) == []


def test_a_crowd_at_the_cap_far_above_all_others_does_not_stop():
    assert named(respond(failing.capped(30))) == [CauseName.LENGTH_CAP]
    assert named(respond(failing.rambles, share=0.4)) == [CauseName.NEVER_STOPS]


def test_what_a_probe_recovered_needed_room_however_far_above_the_others():
    rows = [
        replace(s, outcome=replace(s.outcome, recovered=s.outcome.finish is FinishReason.LENGTH))
        for s in respond(failing.rambles, share=0.4)
    ]
    (found,) = find_causes(rows, CauseContext()).causes
    assert found.cause is CauseName.LENGTH_CAP
    assert "a probe made" in found.evidence


def test_the_last_number_asks_for_no_format():
    for kind in ("no_space", "open", "hashes", "sentence"):
        subjects = respond(FAILURES[kind][0], grader=GraderName.LENIENT)
        assert named(subjects, grader=GraderName.LENIENT) == []
    cut = respond(failing.capped(30), grader=GraderName.LENIENT)
    assert named(cut, grader=GraderName.LENIENT, cap=30) == [CauseName.LENGTH_CAP]


def test_boxes_are_what_question_only_asks_for():
    boxed = respond(ended("It is \\boxed{{{n}}}."), grader=GraderName.QUESTION_ONLY)
    assert named(boxed, grader=GraderName.QUESTION_ONLY) == []
    tagged = respond(answered("{n}"), grader=GraderName.QUESTION_ONLY)
    assert named(tagged, grader=GraderName.QUESTION_ONLY) == [CauseName.NO_TAGS]


def test_a_sibling_with_less_data_is_named_beside_what_the_responses_show():
    sibling = Sibling("sft-128-aaaa", 128, 8192, 0.6, 170, 0.57, 1e-9)
    found = find_causes(respond(failing.never_closes), CauseContext(sibling=sibling)).causes
    assert [cause.cause for cause in found] == [
        CauseName.NEVER_CLOSES,
        CauseName.FALLS_WITH_SIZE,
    ]
    assert "trained on 8,192 problems" in found[1].evidence
    assert "57.0 points better" in found[1].evidence


def test_nothing_to_judge_accuses_nobody():
    assert find_causes([], CauseContext()) == Findings()


def test_every_cause_has_a_meaning():
    assert set(MEANINGS) == set(CauseName)


SUBJECTS = st.builds(
    Subject,
    outcome=st.builds(
        OutcomeRow,
        failure=st.none() | st.sampled_from(FailureClass),
        lenient_right=st.booleans(),
        finish=st.sampled_from(FinishReason),
        tokens=st.integers(0, 300),
        flags=st.frozensets(st.sampled_from(FailureFlag)),
        recovered=st.booleans(),
    ),
    text=st.lists(
        st.sampled_from(
            ["<answer>", "</answer>", "</think>", " ", "\n", "42", "so", "\\boxed{", "}", "####"]
        )
        | st.text(max_size=5),
        max_size=12,
    ).map("".join),
    truth=st.sampled_from(["42", "1/2", "x", ""]),
    given=st.none() | st.text(max_size=5),
    problem=st.sampled_from(["a", "b", "c"]),
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(SUBJECTS, max_size=40), st.sampled_from(GraderName), st.booleans())
def test_counts_hold_for_any_responses(
    subjects: list[Subject], grader: GraderName, from_tool: bool
):
    found = find_causes(subjects, CauseContext(grader, None, from_tool)).causes
    assert len({cause.cause for cause in found}) == len(found)
    for cause in found:
        assert 0 < cause.count <= len(subjects)
        assert cause.share == cause.count / len(subjects)
        assert cause.failures <= cause.count
        assert cause.evidence
