import pytest

from core.responses.course import parse_gsm8k_response, parse_mmlu_response

EXAMPLE = {
    "subject": "astronomy",
    "question": "Which planet is the largest?",
    "options": ["Mars", "Jupiter", "Venus", "Earth"],
    "answer": "B",
}


@pytest.mark.parametrize(
    ("output", "letter"),
    [
        ("The correct answer is B. It is by far the largest.", "B"),
        ("The correct answer is (C)", "C"),
        ("Answer: D", "D"),
        ("**B**", "B"),
        ("B", "B"),
        (" A. Mars", "A"),
        ("(D) because", "D"),
        ("Jupiter.", "B"),
        ("The correct answer is 10000 planets.", None),
        ("The answer is a planet.", None),
        ("A planet is large.", None),
        ("", None),
        ("\0", None),
    ],
)
def test_multiple_choice_letter(output: str, letter: str | None):
    assert parse_mmlu_response(EXAMPLE, output) == letter


@pytest.mark.parametrize(
    ("output", "number"),
    [
        ("She sold 48/2 = 24 clips in May and 48+24 = 72 altogether.", "72"),
        ("It costs $1,234.50.", "1234.50"),
        ("It fell to -5", "-5"),
        ("It fell by 8-5", "5"),
        ("She sold twenty-four.", None),
        ("", None),
    ],
)
def test_last_number_of_a_text(output: str, number: str | None):
    assert parse_gsm8k_response(output) == number
