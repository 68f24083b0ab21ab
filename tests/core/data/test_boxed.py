r"""The result of a solution: every spelling of a box, nested braces, and what is no box."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.boxed import boxed_result


@pytest.mark.parametrize(
    ("solution", "result"),
    [
        (r"so $\boxed{2}$.", "2"),
        (r"$\boxed{\frac{1}{2}}$", r"\frac{1}{2}"),
        (r"$\boxed{ \sqrt{2^{3}} }$", r"\sqrt{2^{3}}"),
        (r"first \boxed{1}, then \boxed{2}", "2"),
        (r"$\fbox{x_{1}}$", "x_{1}"),
        (r"\boxed{1} or \fbox{2}", "2"),
        (r"$\boxed 5$", "5"),
        (r"it is \boxed 5.", "5"),
        (r"$\boxed \frac{1}{2}$ of it", r"\frac{1}{2}"),
        (r"$\boxed \text{1 mile}$ long", r"\text{1 mile}"),
        (r"{\boxed 7}", "7"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed \{1,2\}$", r"\{1,2\}"),
        (r"\boxed{3} and \boxed{never closed", "3"),
        (r"\boxed{3} and \boxed{}", "3"),
        (r"{ \boxed{3} and } \boxed 4{unclosed", "4"),
    ],
)
def test_the_last_whole_box_holds_the_result(solution: str, result: str) -> None:
    assert boxed_result(solution) == result


def test_deep_and_broken_solutions_are_read_in_one_pass() -> None:
    deep = "{" * 50_000 + "}" * 50_000
    assert boxed_result(rf"\boxed{{{deep}}}") == deep
    assert boxed_result(r"\boxed{" * 50_000 + r"\boxed{3}") == "3"
    assert boxed_result(r"\boxed x{" * 50_000 + "}") == "x{}"


@pytest.mark.parametrize(
    "solution", ["", "plain 5", r"\boxed{", r"\boxed", r"\boxedtext{5}", r"\boxed{ }", "boxed{5}"]
)
def test_without_a_whole_box_there_is_no_result(solution: str) -> None:
    assert boxed_result(solution) is None


_PLAIN = st.text(st.characters(exclude_characters="{}\\", exclude_categories=["Cs"]), max_size=8)
_BALANCED = st.recursive(
    _PLAIN | st.just(r"\{") | st.just(r"\frac"),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: "{" + "".join(parts) + "}"),
    max_leaves=12,
)


@given(_PLAIN, _BALANCED, _PLAIN)
def test_whatever_stands_in_balanced_braces_comes_out_of_them(
    before: str, content: str, after: str
) -> None:
    for command in (r"\boxed", r"\fbox"):
        found = boxed_result(f"{before}{command}{{{content}}}{after}")
        assert found == (content.strip() or None)


_PIECES = ["\\", "boxed", "fbox", "{", "}", " ", "$", "5", "\n"]


@given(st.lists(st.sampled_from(_PIECES)).map("".join))
def test_any_text_gives_a_part_of_itself_or_nothing(text: str) -> None:
    found = boxed_result(text)
    assert found is None or (found in text and found == found.strip() != "")
