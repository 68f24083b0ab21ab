"""TOML from anywhere costs no more than its length."""

import pytest

from core.given_toml import parse_toml


@pytest.mark.parametrize("part", ["a", '"b c"', "'d.e'", "f-1"])
@pytest.mark.parametrize("dot", [".", " . ", "\t.\t"])
def test_a_key_of_many_parts_is_refused(part: str, dot: str) -> None:
    key = dot.join([part] * 70)
    for text in (f"{key} = 1", f"[{key}]", f"x = {{ {key} = 1 }}"):
        with pytest.raises(ValueError, match="a key has more than 64 parts"):
            parse_toml(text)


@pytest.mark.parametrize(
    "content",
    ["a" * 1_000_000, "a." * 40 + "b" * 1_000_000, "a. " * 40 + " " * 1_000_000, "a " * 500_000],
)
def test_a_long_text_is_read_in_time(content: str) -> None:
    """A search that goes back over every word would take hours for these."""
    assert parse_toml(f'x = "{content}"') == {"x": content}
