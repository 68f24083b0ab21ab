"""What errors of others say is put on one line."""

import pytest

from core.errors import first_line, typed_line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("\n  first\nsecond"), "first"),
        (ValueError(""), "ValueError"),
        (RuntimeError("  \n"), "RuntimeError"),
        (OSError("x" * 999), "x" * 200),
        ("words alone\nand more", "words alone"),
    ],
)
def test_the_first_line_says_something(error: BaseException | str, said: str) -> None:
    assert first_line(error) == said


@pytest.mark.parametrize(
    ("error", "said"),
    [(KeyError("x"), "KeyError: 'x'"), (ValueError(""), "ValueError")],
)
def test_a_type_is_named_once(error: BaseException, said: str) -> None:
    assert typed_line(error) == said
