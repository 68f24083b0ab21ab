from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engines.base import FinishReason
from core.responses.breakdown import FormatState, MathState, OutcomeRow, break_down
from core.responses.causes import CauseContext, CauseName, Findings, FoundCause
from core.responses.counterfactuals import counterfactuals
from core.responses.names import FailureClass, FailureFlag
from core.responses.verdict import Commands, Explanation, commands_of_run, explain, headline

LENGTH, EOS, STOP = FinishReason.LENGTH, FinishReason.EOS, FinishReason.STOP_STRING
RIGHT = OutcomeRow(None, True, STOP, 40)
CUT = OutcomeRow(FailureClass.TRUNCATED_THINKING, False, LENGTH, 256)
CUT_RIGHT = OutcomeRow(FailureClass.TRUNCATED_ANSWER, True, LENGTH, 256)
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
    told = explain(break_down(rows), run="sft-256-k3f9")
    assert told.sentences == (
        "240 of 512 responses are wrong (46.9%).",
        "212 never complete an answer, 150 of them at the length cap.",
        "90 hold the right number last.",
        "No cause stands out: this is what a working model leaves over.",
    )
    assert [advice.command for advice in told.advice] == [
        "a5ctl diagnose sft-256-k3f9 --class truncated_thinking",
    ]


def test_few_responses_neither_accuse_nor_acquit():
    told = explain(break_down([RIGHT] * 3 + [UNCLOSED_RIGHT] * 2), run="sft-256-k3f9")
    assert told.sentences[-1] == "So few responses cannot name a cause."


def test_a_weak_model_without_a_cause_is_not_called_a_working_one():
    told = explain(break_down([RIGHT] * 10 + [WRONG] * 30))
    assert told.sentences[-1].startswith("No cause reaches a tenth of all responses")


def told_of(cause: CauseName, commands: Commands | None = None, **known) -> Explanation:
    found = FoundCause(cause, 40, 0.4, 40, "40 of 100 do")
    context = CauseContext(**known)
    summary = break_down([RIGHT] * 60 + [CUT] * 40)
    return explain(summary, Findings((found,)), run="r", context=context, commands=commands)


def test_the_command_of_a_cause_is_its_first_advice():
    told = told_of(CauseName.LENGTH_CAP, cap=256)
    assert told.causes[0].command == "a5ctl probe r --max-tokens 512,1024"
    assert [advice.command for advice in told.advice] == [
        "a5ctl probe r --max-tokens 512,1024",
        "a5ctl run eval --run r --max-tokens 512",
        "a5ctl diagnose r --class truncated_thinking",
    ]


def test_nothing_is_advised_that_needs_weights_which_nobody_has():
    dump = Commands("a5ctl grade d.jsonl", None, None, restore="a5ctl grade d.jsonl --restore-stop")
    commands = {name: told_of(name, dump).causes[0].command for name in CauseName}
    assert commands[CauseName.LENGTH_CAP] is None
    assert commands[CauseName.NEVER_CLOSES] == "a5ctl grade d.jsonl --restore-stop"
    assert commands[CauseName.WRONG_SEPARATOR] == "a5ctl grade d.jsonl --grader lenient"
    assert not any("run" in command.split() for command in commands.values() if command)


def test_an_evaluation_without_stop_strings_is_told_of_them_first():
    commands = replace(commands_of_run("r"), stops=())
    told = told_of(CauseName.NEVER_STOPS, commands)
    assert told.causes[0].command == (
        """a5ctl run eval --run r --set 'evaluation.stop=["</answer>"]'"""
    )
    kept = told_of(CauseName.NEVER_STOPS, replace(commands, stops=("</answer>",)))
    assert kept.causes[0].command == "a5ctl run sft --init r"


def test_math_taught_by_its_end_alone_is_told_to_learn_the_reasoning():
    commands = replace(commands_of_run("r"), supervise="answer")
    told = told_of(CauseName.WRONG_MATH, commands)
    assert told.causes[0].command == "a5ctl run sft --init r --supervise response"
    assert told_of(CauseName.WRONG_MATH).causes[0].command == "a5ctl run sft --init r --size full"


def test_a_stop_string_that_a_tool_cut_off_is_put_back_before_anything_is_said():
    commands = Commands("a5ctl grade d", None, None, restore="a5ctl grade d --restore-stop")
    findings = Findings(stop_cut_off=True)
    told = explain(break_down([UNCLOSED_RIGHT] * 9), findings, commands=commands)
    assert told.headline.startswith("The tool cut </answer> off")
    assert told.advice[0].command == "a5ctl grade d --restore-stop"


def test_nothing_wrong_and_nothing_at_all():
    assert explain(break_down([RIGHT])).headline == "Nothing failed."
    assert explain(break_down([RIGHT])).advice == ()
    assert explain(break_down([])).sentences == ()


def test_breakdown_counts():
    summary = break_down([RIGHT, CUT, CUT_LOOP, UNCLOSED_RIGHT, WRONG])
    assert (summary.n, summary.failures, summary.unclosed) == (5, 4, 3)
    assert summary.unclosed_capped == 2
    assert summary.by_class == {
        FailureClass.TRUNCATED_THINKING: 2,
        FailureClass.UNCLOSED_ANSWER: 1,
        FailureClass.WRONG_NUMBER: 1,
    }
    assert summary.accuracy == 0.2
    assert summary.accuracy_if_lenient(FailureClass.UNCLOSED_ANSWER) == 0.4
    assert summary.accuracy_if_lenient(FailureClass.WRONG_NUMBER) == 0.2
    assert summary.by_state[FormatState.NOT_OK, MathState.UNDETERMINED] == 2


def test_counterfactuals_say_what_each_thing_costs():
    rows = [RIGHT] * 4 + [CUT] * 2 + [CUT_RIGHT] + [UNCLOSED_RIGHT] * 2 + [WRONG]
    found = {row.name: (row.low, row.high) for row in counterfactuals(break_down(rows))}
    assert found == {
        "as_it_is": (0.4, 0.4),
        "capped_lenient": (0.5, 0.5),
        "all_lenient": (0.7, 0.7),
        "mended_truncated_thinking": (0.4, pytest.approx(0.6)),
        "mended_unclosed_answer": (pytest.approx(0.6), pytest.approx(0.6)),
        "mended_truncated_answer": (0.5, 0.5),
    }


def test_what_probes_recovered_is_a_counterfactual():
    recovered = OutcomeRow(FailureClass.TRUNCATED_THINKING, False, LENGTH, 256, recovered=True)
    *_, row = counterfactuals(break_down([RIGHT, WRONG, recovered, recovered]))
    assert (row.name, row.low, row.count) == ("probes", 0.75, 2)


def test_no_responses_have_no_counterfactuals():
    assert counterfactuals(break_down([])) == ()


ROWS = st.builds(
    OutcomeRow,
    failure=st.none() | st.sampled_from(FailureClass),
    lenient_right=st.booleans(),
    finish=st.sampled_from(FinishReason),
    tokens=st.integers(1, 500),
    flags=st.frozensets(st.sampled_from(FailureFlag)),
    recovered=st.booleans(),
)


@pytest.mark.slow
@given(st.lists(ROWS, max_size=30))
def test_parts_add_up_for_any_rows(rows: list[OutcomeRow]):
    summary = break_down(rows)
    assert sum(summary.by_class.values()) == summary.failures
    assert sum(summary.by_state.values()) == summary.failures
    assert sum(summary.lenient_right_by_class.values()) == summary.lenient_right
    assert summary.unclosed_capped <= summary.unclosed <= summary.failures
    for row in counterfactuals(summary):
        assert summary.accuracy <= row.low <= row.high <= 1 + 1e-9
    told = explain(summary)
    blamed = told.headline == "It fails the format, not the math."
    failing = [row for row in rows if row.failure is not None]
    half = 2 * sum(row.lenient_right or row.recovered for row in failing) >= len(failing)
    assert blamed == (half and bool(failing))
