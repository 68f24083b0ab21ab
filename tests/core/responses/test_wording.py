import pytest

from core.responses.wording import Placeholders, is_empty, is_sentence

PROMPT = Placeholders(frozenset({"your working"}), frozenset({"your result"}))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("7", False),
        ("7 miles per hour", False),
        ("7 square feet", False),
        ("\\frac{1}{2}\\text{ cm}", False),
        ("about 7", False),
        ("The answer is 7", True),
        ("7 because she ate three of them", True),
        ("she has none left", True),
        ("answer is 7 or 8", True),
        ("it is 7", False),
        ("7 or 8 apples", False),
        ("答案是7。", True),
        ("7个苹果", False),
        ("[link=https://example.org]7[/link]", False),
        ("__import__('os').getcwd()", False),
    ],
)
def test_what_counts_as_a_sentence(answer: str, sentence: bool):
    assert is_sentence(answer) == sentence


@pytest.mark.parametrize(
    ("answer", "empty"),
    [
        ("", True),
        (" \n ", True),
        ("\\boxed{}", True),
        ("\\boxed{\\text{ }}", True),
        ("$$", True),
        ("\\( \\)", True),
        ("\u200b", False),
        ("{", False),
        (".", False),
        ("{}" * 1000, False),
    ],
)
def test_what_counts_as_empty(answer: str, empty: bool):
    assert is_empty(answer) == empty


@pytest.mark.parametrize(
    ("answer", "copied"),
    [
        ("your result", True),
        (" YOUR  Result. ", True),
        ("[your result]", True),
        ("**your result**", True),
        ("\\boxed{your result}", True),
        ("answer here", True),
        ("your working", False),
        ("your result: 7", False),
        ("result", False),
        ("", False),
    ],
)
def test_placeholder_answers(answer: str, copied: bool):
    assert PROMPT.is_answer(answer) == copied


@pytest.mark.parametrize(
    ("reasoning", "copied"),
    [
        ("your working", True),
        ("Your working.", True),
        ("your working your result", True),
        ("reasoning process here", True),
        ("your working is here", False),
        ("", False),
        ("...", False),
    ],
)
def test_reasoning_made_of_placeholders(reasoning: str, copied: bool):
    assert PROMPT.make_up(reasoning) == copied


def test_results_of_worked_examples_in_the_prompt_are_no_placeholders():
    prompt = Placeholders(reasoning=frozenset({"3 + 4 = 7"}), answer=frozenset({"7"}))
    assert not prompt.is_answer("7")
    assert not prompt.is_reasoning("3 + 4 = 7")
    assert not prompt.make_up("7")


def test_three_dots_are_a_placeholder_of_no_prompt():
    assert not Placeholders(frozenset({"..."}), frozenset({"..."})).is_answer("...")
