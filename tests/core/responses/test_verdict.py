from hypothesis import given
from hypothesis import strategies as st

from core.engines.base import FinishReason
from core.responses.breakdown import FormatState, MathState, OutcomeRow, break_down
from core.responses.names import FailureClass, FailureFlag
from core.responses.verdict import explain, headline

LENGTH, EOS, STOP = FinishReason.LENGTH, FinishReason.EOS, FinishReason.STOP_STRING
RIGHT = OutcomeRow(None, True, STOP, 40)
CUT = OutcomeRow(FailureClass.TRUNCATED_THINKING, False, LENGTH, 256)
CUT_LOOP = OutcomeRow(
    FailureClass.TRUNCATED_THINKING,
    False,
    LENGTH,
    256,
    frozenset({FailureFlag.DEGENERATE_REPETITION}),
)
UNCLOSED_RIGHT = OutcomeRow(FailureClass.UNCLOSED_ANSWER, True, EOS, 60)
SEPARATOR_RIGHT = OutcomeRow(FailureClass.BAD_SEPARATOR, True, STOP, 50)
WRONG = OutcomeRow(FailureClass.WRONG_NUMBER, False, STOP, 50)
UNFORMATTED_WRONG = OutcomeRow(FailureClass.BAD_SEPARATOR, False, STOP, 50)


def test_format_is_blamed_when_half_of_the_failures_hold_the_right_number():
    summary = break_down([RIGHT] * 2 + [UNCLOSED_RIGHT] * 3 + [CUT] * 2 + [WRONG])
    assert headline(summary) == "It fails the format, not the math."


def test_capped_responses_alone_prove_nothing_about_the_math():
    said = headline(break_down([CUT] * 5 + [UNCLOSED_RIGHT] * 2 + [WRONG] * 2))
    assert "not the math" not in said
    assert "say nothing about the math" in said


def test_capped_responses_recovered_by_a_probe_count_for_the_math():
    recovered = OutcomeRow(FailureClass.TRUNCATED_THINKING, False, LENGTH, 256, recovered=True)
    assert headline(break_down([recovered] * 2 + [WRONG])) == "It fails the format, not the math."


def test_math_is_blamed_when_well_formed_answers_are_wrong():
    assert headline(break_down([WRONG] * 3 + [CUT])) == "It fails the math, not the format."


def test_both_are_blamed_when_unformatted_answers_are_wrong_too():
    said = headline(break_down([UNFORMATTED_WRONG] * 3 + [CUT]))
    assert said.startswith("It fails the math too")


def test_nothing_is_blamed_without_a_majority():
    said = headline(break_down([WRONG, UNFORMATTED_WRONG, CUT, CUT, SEPARATOR_RIGHT]))
    assert said == "No single cause explains half of the failures."


def test_sentences_hold_the_counts():
    rows = [RIGHT] * 272 + [CUT] * 150 + [UNCLOSED_RIGHT] * 62 + [SEPARATOR_RIGHT] * 28
    told = explain(break_down(rows), run="sft-256-k3f9", max_tokens=256)
    assert told.sentences == (
        "240 of 512 responses are wrong (46.9%).",
        "212 never complete an answer, 150 of them at the length cap.",
        "90 hold the right number last.",
        "Graded by the last number, accuracy would be 70.7% instead of 53.1%.",
        "The largest class is truncated_thinking (150 of 240): "
        "the length cap cut it before it opened an answer.",
    )
    assert [advice.command for advice in told.advice] == [
        "a5ctl run eval --run sft-256-k3f9 --max-tokens 512",
        "a5ctl diagnose sft-256-k3f9 --class truncated_thinking",
    ]


def test_a_longer_cap_is_not_advised_for_loops():
    told = explain(break_down([CUT_LOOP] * 5), run="r", max_tokens=256)
    assert "5 end in a loop." in told.sentences
    assert not any("--max-tokens" in advice.command for advice in told.advice)


def test_further_training_is_advised_for_the_format():
    told = explain(break_down([SEPARATOR_RIGHT] * 3), run="r")
    assert told.advice[0].command == "a5ctl run sft --init r"


def test_nothing_wrong_and_nothing_at_all():
    assert explain(break_down([RIGHT])).headline == "Nothing failed."
    assert explain(break_down([RIGHT])).advice == ()
    assert explain(break_down([])).sentences == ()


def test_breakdown_counts():
    summary = break_down([RIGHT, CUT, CUT_LOOP, UNCLOSED_RIGHT, WRONG])
    assert (summary.n, summary.failures, summary.unclosed) == (5, 4, 3)
    assert (summary.unclosed_capped, summary.capped_loops) == (2, 1)
    assert summary.by_class == {
        FailureClass.TRUNCATED_THINKING: 2,
        FailureClass.UNCLOSED_ANSWER: 1,
        FailureClass.WRONG_NUMBER: 1,
    }
    assert summary.accuracy == 0.2
    assert summary.accuracy_if_lenient(FailureClass.UNCLOSED_ANSWER) == 0.4
    assert summary.accuracy_if_lenient(FailureClass.WRONG_NUMBER) == 0.2
    assert summary.by_state[FormatState.NOT_OK, MathState.UNDETERMINED] == 2
    assert summary.mean_tokens_right == 40


ROWS = st.builds(
    OutcomeRow,
    failure=st.none() | st.sampled_from(FailureClass),
    lenient_right=st.booleans(),
    finish=st.sampled_from(FinishReason),
    tokens=st.integers(1, 500),
    flags=st.frozensets(st.sampled_from(FailureFlag)),
    recovered=st.booleans(),
)


@given(st.lists(ROWS, max_size=30))
def test_parts_add_up_for_any_rows(rows: list[OutcomeRow]):
    summary = break_down(rows)
    assert sum(summary.by_class.values()) == summary.failures
    assert sum(summary.by_state.values()) == summary.failures
    assert sum(summary.lenient_right_by_class.values()) == summary.lenient_right
    assert summary.capped_loops <= summary.unclosed_capped <= summary.unclosed <= summary.failures
    told = explain(summary)
    blamed = told.headline == "It fails the format, not the math."
    failing = [row for row in rows if row.failure is not None]
    half = 2 * sum(row.lenient_right or row.recovered for row in failing) >= len(failing)
    assert blamed == (half and bool(failing))
