"""Messages: what is written is read back, and any bytes end as fields or as one kind of error."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.interchange.wire import (
    Message,
    WireError,
    bytes_field,
    double_field,
    fields,
    varint_field,
)

NUMBERS = st.integers(min_value=1, max_value=2**29 - 1)


@given(NUMBERS, st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_integers_come_back(number: int, value: int) -> None:
    assert Message(varint_field(number, value)).integer(number) == value


@given(st.integers(min_value=-(2**62), max_value=2**62))
def test_zigzag_integers_come_back(value: int) -> None:
    written = varint_field(5, value << 1 if value >= 0 else (-value << 1) - 1)
    assert Message(written).zigzag(5) == value


@given(NUMBERS, st.text())
def test_texts_come_back(number: int, text: str) -> None:
    written = bytes_field(number, text.encode("utf-8", "replace"))
    assert Message(written).text(number) == text.encode("utf-8", "replace").decode()


@given(st.floats())
def test_doubles_come_back_also_where_they_are_not_finite(value: float) -> None:
    found = Message(double_field(1, value)).double(1)
    assert found == value or (found is not None and math.isnan(found) and math.isnan(value))


@given(st.binary(max_size=300))
def test_any_bytes_are_fields_or_an_error(data: bytes) -> None:
    try:
        found = list(fields(data))
    except WireError:
        return
    assert all(number > 0 for number, _ in found)


@given(st.lists(st.tuples(NUMBERS, st.binary(max_size=20)), max_size=8), st.data())
def test_a_torn_message_is_an_error_or_the_fields_before(
    parts: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    whole = b"".join(bytes_field(number, value) for number, value in parts)
    cut = data.draw(st.integers(min_value=0, max_value=len(whole)))
    try:
        found = list(fields(whole[:cut]))
    except WireError:
        return
    assert found == parts[: len(found)]


def test_the_last_value_of_a_field_counts() -> None:
    message = Message(varint_field(3, 1) + varint_field(3, 2) + bytes_field(3, b"x"))
    assert (message.integer(3), message.text(3)) == (2, "x")
    assert 3 in message
    assert 4 not in message


@pytest.mark.parametrize("data", [b"\x00", b"\x0b", b"\x80" * 11, b"\x0a\x05ab", b"\x09\x00"])
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(WireError):
        list(fields(data))
