"""Checksums against published values and a bit-by-bit definition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.interchange.crc32c import crc32c, masked_crc32c


def bit_by_bit(data: bytes) -> int:
    """Division by the polynomial 0x1EDC6F41, written out with reflected bits."""
    crc = 0xFFFFFFFF
    for byte in data:
        for bit in range(8):
            low = (crc ^ (byte >> bit)) & 1
            crc = (crc >> 1) ^ (0x82F63B78 if low else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_the_values_of_rfc_3720(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@given(st.binary(max_size=200))
def test_the_table_does_what_the_definition_says(data: bytes) -> None:
    assert crc32c(data) == bit_by_bit(data)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_a_sum_can_go_on_where_it_ended(first: bytes, second: bytes) -> None:
    assert crc32c(second, crc32c(first)) == crc32c(first + second)


@given(st.binary(max_size=50))
def test_a_mask_can_be_taken_off(data: bytes) -> None:
    turned = (masked_crc32c(data) - 0xA282EAD8) & 0xFFFFFFFF
    assert ((turned >> 17) | (turned << 15)) & 0xFFFFFFFF == crc32c(data)
