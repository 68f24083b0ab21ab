import pytest

from core.responses.failures import is_degenerate
from core.responses.loops import is_loop
from core.responses.parse import parse_response


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("so 3 + 4 = 7 and that is the answer we were asked to find in this problem", False),
        ("ha ha ha ha", False),
        ("wait, I think that this is wrong. " * 5, True),
        ("0" * 80, True),
        ("x " * 40 + "</think> <answer> 7 </answer>", True),
        ("fine </think> <answer> " + "1 + " * 30, True),
        ("a long but different beginning, then " + "the same the same " * 9 + "the", True),
        ("so </think> <answer> " + "{" * 500 + "7 </answer>", True),
    ],
)
def test_loops_are_seen_in_each_part(text: str, loops: bool):
    assert is_degenerate(parse_response(text)) == loops


START, END = "A beginning that says nothing twice, ", "and an ending of its own as well."


@pytest.mark.parametrize("period", [1, 2, 7, 30, 60, 149, 150])
def test_a_loop_of_half_the_text_is_seen_wherever_it_stands(period: int):
    unit = "".join(chr(0x4E00 + i) for i in range(period))
    loop = unit * max(4, 200 // period)
    for text in (loop + END, START + loop + END, START + loop, START + END + loop + START + END):
        assert is_loop(text)


@pytest.mark.parametrize("period", [1, 7, 60])
def test_a_loop_of_a_third_of_the_text_is_none(period: int):
    unit = "".join(chr(0x4E00 + i) for i in range(period))
    loop = unit * max(4, 200 // period)
    plain = "".join(chr(0x3400 + i) for i in range(len(loop)))
    assert not is_loop(plain + loop + plain[::-1])


def test_a_unit_longer_than_150_characters_is_no_loop():
    unit = "".join(chr(0x4E00 + i) for i in range(151))
    assert not is_loop(START + unit * 8 + END)


def test_one_character_inside_a_unit_of_that_character_is_told_apart():
    unit = "a" * 28 + "b"
    assert is_loop(START + unit * 9 + END)
    assert not is_loop("a" * 28 + "b" + "".join(chr(0x4E00 + i) for i in range(100)))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    ["a" * 490_000 + "".join(chr(0x4E00 + i % 9000) for i in range(600_000)), "ab" * 500_000 + "c"],
    ids=["nearly half", "nearly all"],
)
def test_texts_of_any_length_are_read_to_their_end(text: str):
    assert is_loop(text) == text.startswith("ab")
