from hypothesis import given
from hypothesis import strategies as st

from core.responses.parse import parse_response

FRAGMENTS = ["<think>", "</think>", "<answer>", "</answer>", " ", "7", "1,234", "so", "<", "\n"]


def test_spans_of_a_well_formed_response():
    text = " 6 x 7 </think> <answer> 42 </answer>"
    parsed = parse_response(text)
    assert parsed.closed
    assert parsed.think_end == text.index("</think>")
    assert parsed.answer_start == text.index("<answer>")
    assert parsed.answer_text == " 42 "
    assert parsed.reasoning == " 6 x 7 "
    assert parsed.trailing_text == ""
    assert [text[start:end] for start, end in parsed.answer_closes] == ["</answer>"]
    assert parsed.last_number is not None
    assert parsed.last_number.value == 42


def test_response_without_any_tag():
    parsed = parse_response("no tags here")
    assert not parsed.closed
    assert parsed.think_end is None
    assert parsed.answer_start is None
    assert parsed.answer_text is None
    assert parsed.last_number is None


def test_answer_closed_before_it_opens_is_not_closed():
    assert not parse_response("</think> </answer> <answer> 7").closed


def test_second_answer_left_open_is_not_closed():
    parsed = parse_response("</think> <answer> 7 </answer> <answer> 8")
    assert not parsed.closed
    assert parsed.answer_text == " 8"


def test_the_last_answer_and_the_first_think_close_are_taken():
    text = "a </think> b </think> <answer> 1 </answer> <answer> 2 </answer> bye"
    parsed = parse_response(text)
    assert parsed.think_end == 2
    assert parsed.answer_text == " 2 "
    assert parsed.trailing_text == " bye"


def test_number_cut_by_the_cap_does_not_count():
    parsed = parse_response("it is 12, then 7")
    assert parsed.last_whole_number(capped=False).value == 7
    assert parsed.last_whole_number(capped=True).value == 12


def test_number_that_could_go_on_after_a_dot_does_not_count():
    assert parse_response("it is 7.").last_whole_number(capped=True) is None


def test_number_followed_by_a_space_is_whole():
    assert parse_response("it is 7 ").last_whole_number(capped=True).value == 7


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join))
def test_closed_means_a_close_follows_the_last_open(text: str):
    expected = "<answer>" in text and "</answer>" in text.rpartition("<answer>")[2]
    assert parse_response(text).closed == expected


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join))
def test_every_span_points_at_its_tag(text: str):
    parsed = parse_response(text)
    for tag, spans in {
        "<think>": parsed.think_opens,
        "</think>": parsed.think_closes,
        "<answer>": parsed.answer_opens,
        "</answer>": parsed.answer_closes,
    }.items():
        assert len(spans) == text.count(tag)
        assert all(text[start:end] == tag for start, end in spans)
