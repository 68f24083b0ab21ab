import pytest

from core.responses.expressions import final_expression, quickly_same, same_value
from core.responses.parse import parse_response


@pytest.mark.parametrize(
    ("response", "expression"),
    [
        (" a </think> <answer> \\sqrt{2} </answer>", "\\sqrt{2}"),
        (" a </think> <answer> The answer is \\sqrt{2}. </answer>", "\\sqrt{2}"),
        (" a </think> <answer> so it must be $x+1$ then </answer>", "x+1"),
        (" a </think> <answer> \\boxed{x+1} or so </answer>", "x+1"),
        (" a </think> <answer> (1, 2) </answer> 3", "(1, 2)"),
        (" a </think> <answer> x+1", "x+1"),
        ("first \\boxed{x}, then \\boxed{x+1}", "x+1"),
        ("we get \\(x\\) and \\[x+1\\]", "x+1"),
        ("First we add.\nSo y = x+1", "x+1"),
        ("nothing", "nothing"),
        ("I cannot find it, sorry", None),
        ("", None),
    ],
)
def test_expression_that_a_response_ends_with(response: str, expression: str | None):
    assert final_expression(parse_response(response), capped=False) == expression


@pytest.mark.parametrize(
    ("response", "expression"),
    [
        (" a </think> <answer> \\sqrt{2", None),
        (" so y = x+1", None),
        (" so \\boxed{x+1} and", "x+1"),
        (" so $x+1$ and", "x+1"),
        (" a </think> <answer> x+1 </answer> and", "x+1"),
    ],
)
def test_where_the_cap_cut_only_what_is_closed_counts(response: str, expression: str | None):
    assert final_expression(parse_response(response), capped=True) == expression


@pytest.mark.parametrize(
    ("given", "truth", "same"),
    [
        ("evelyn", "Evelyn", True),
        ("\\text{Even}", "even", True),
        ("(B)", "B", True),
        ("C", "B", False),
        ("x+1", "x+1", True),
        ("", "x+1", False),
        ("x" * 1000, "x+1", False),
        ("1+x", "x+1", None),
        ("1.57", "pi", None),
    ],
)
def test_texts_that_need_no_algebra(given: str, truth: str, same: bool | None):
    assert quickly_same(given, truth) is same


SAME = [
    ("1+x", "x+1"),
    ("(x+1)^2", "x^2+2x+1"),
    ("√2", "\\sqrt{2}"),
    ("sqrt(2)", "\\sqrt2"),
    ("1.41421356", "\\sqrt{2}"),
    ("\\sqrt{12}", "2\\sqrt{3}"),
    ("pi/2", "\\frac{\\pi}{2}"),
    ("(0, 1]", "(0,1]"),
    ("(-inf, 3)", "(-\\infty,3)"),
    ("1,2", "(1,2)"),
    ("\\{2, 1\\}", "\\{1,2\\}"),
    ("2 and 1", "1,2"),
    ("y = 3\\sqrt{2}", "3\\sqrt{2}"),
    ("5\\sqrt{2} cm", "5\\sqrt{2}"),
    ("\\frac{\\sqrt3}{2}", "\\frac{\\sqrt{3}}{2}\\text{ cm}"),
    ("\\dfrac{a}{b}", "a/b"),
    ("1000000", "10^6"),
]
DIFFERENT = [
    ("x+2", "x+1"),
    ("1.41", "\\sqrt{2}"),
    ("[0,1]", "(0,1]"),
    ("(2,1)", "(1,2)"),
    ("-inf", "\\infty"),
    ("3\\sqrt{2}", "2\\sqrt{3}"),
    ("b/a", "\\frac{a}{b}"),
    ("{" * 400, "x+1"),
    ("\0", "x+1"),
    ("\ud800", "x+1"),
    ("\u202e1+x\u202c", "x+2"),
]


@pytest.mark.parametrize(("given", "truth"), SAME)
def test_expressions_of_the_same_value(given: str, truth: str):
    assert same_value(given, truth)


@pytest.mark.parametrize(("given", "truth"), DIFFERENT, ids=lambda text: ascii(text[:12]))
def test_expressions_of_another_value(given: str, truth: str):
    assert not same_value(given, truth)
