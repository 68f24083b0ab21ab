"""Options as lines of the question: written, read back, and told from other questions."""

from hypothesis import given
from hypothesis import strategies as st

from core.data.choices import is_choice, options_of, with_options
from core.data.problem import Problem

_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


@given(st.text(max_size=40), st.lists(_TEXT, min_size=4, max_size=4), st.sampled_from("ABCD"))
def test_options_are_read_back_as_they_were_written(
    question: str, options: list[str], truth: str
) -> None:
    shown = with_options(question, options)
    assert options_of(shown, truth) == tuple(" ".join(option.split()) for option in options)


def test_an_option_of_several_lines_becomes_one_line() -> None:
    assert with_options(" Q? ", ["1\n2", "x", "", "y "]) == "Q?\nA. 1 2\nB. x\nC.\nD. y"


def test_the_last_question_of_a_prompt_with_examples_counts() -> None:
    first, second = with_options("One?", list("wxyz")), with_options("Two?", list("1234"))
    assert options_of(f"{first}\nAnswer: B\n\n{second}\nAnswer:", "A") == ("1", "2", "3", "4")


def test_other_ways_to_label_options_are_known() -> None:
    assert options_of("Q\n(A) 1\n(B) 2\n(C) 3\n(D) 4", "D") == ("1", "2", "3", "4")
    assert options_of("Q\nA) 1\nB) 2\nC) 3\nD) 4", "D") == ("1", "2", "3", "4")


def test_a_line_of_many_blanks_is_read_in_no_time() -> None:
    assert options_of("A." + " " * 300_000 + "\n" + " " * 300_000, "A") == ()


def test_a_letter_without_options_or_a_number_with_them_is_no_choice() -> None:
    shown = with_options("Q?", list("wxyz"))
    assert is_choice(Problem("1", shown, "B"))
    assert not is_choice(Problem("1", shown, "7"))
    assert not is_choice(Problem("1", shown, ""))
    assert not is_choice(Problem("1", "Which letter comes first?", "A"))
