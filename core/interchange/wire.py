"""The wire format of protocol buffers: enough to read and write messages by field number.

Nothing here knows a schema. Whatever the bytes are, reading ends with fields or a `WireError`; it
takes time and memory in proportion to the bytes, because nested messages stay bytes until somebody
asks for them.
"""

import struct
from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_64_BITS = (1 << 64) - 1

Value = int | bytes
"""A number, or the bytes of a text, a nested message, or a fixed-width number."""


class WireError(ValueError):
    """The bytes are no message."""


def fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """(field number, value) in the order written; fixed-width values are 4 or 8 bytes.

    Raises:
        WireError: the bytes are torn, or no message.
    """
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("field number 0")
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _varint(data, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise WireError(f"wire type {kind}")
        if size > end - position:
            raise WireError("a field is longer than its message")
        yield number, data[position : position + size]
        position += size


class Message:
    """The fields of one message, by number.

    Args:
        data: Its bytes.

    Raises:
        WireError: they are no message.
    """

    def __init__(self, data: bytes) -> None:
        self._fields: dict[int, list[Value]] = {}
        for number, value in fields(data):
            self._fields.setdefault(number, []).append(value)

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def blobs(self, number: int) -> list[bytes]:
        """Every value of a field that holds bytes, nested messages, or packed numbers."""
        return [value for value in self._fields.get(number, ()) if isinstance(value, bytes)]

    def blob(self, number: int) -> bytes:
        """The last such value, as readers of the format take it; empty where there is none."""
        return (self.blobs(number) or [b""])[-1]

    def text(self, number: int) -> str:
        """A text; bytes that are none become replacement characters."""
        return self.blob(number).decode("utf-8", "replace")

    def texts(self, number: int) -> list[str]:
        """Every value of a repeated text."""
        return [value.decode("utf-8", "replace") for value in self.blobs(number)]

    def message(self, number: int) -> "Message":
        """A nested message; an empty one where there is none."""
        return Message(self.blob(number))

    def messages(self, number: int) -> "list[Message]":
        """Every value of a repeated nested message."""
        return [Message(value) for value in self.blobs(number)]

    def integer(self, number: int) -> int:
        """A signed integer (int32, int64); 0 where there is none."""
        found = [value for value in self._fields.get(number, ()) if isinstance(value, int)]
        value = found[-1] if found else 0
        return value - (1 << 64) if value >> 63 else value

    def zigzag(self, number: int) -> int:
        """A signed integer of the kind sint32 or sint64; 0 where there is none."""
        found = [value for value in self._fields.get(number, ()) if isinstance(value, int)]
        value = found[-1] if found else 0
        return (value >> 1) ^ -(value & 1)

    def double(self, number: int) -> float | None:
        """A double; None where there is none."""
        return _unpacked("<d", self.blobs(number))

    def float(self, number: int) -> float | None:
        """A float of 32 bits; None where there is none."""
        return _unpacked("<f", self.blobs(number))


def varint_field(number: int, value: int) -> bytes:
    """A field with an integer; negative ones take ten bytes, as int64 does."""
    return _encoded(number << 3 | _VARINT) + _encoded(value & _64_BITS)


def bytes_field(number: int, value: bytes) -> bytes:
    """A field with bytes, a text in UTF-8, or a nested message."""
    return _encoded(number << 3 | _BYTES) + _encoded(len(value)) + value


def double_field(number: int, value: float) -> bytes:
    """A field with a double."""
    return _encoded(number << 3 | _FIXED64) + struct.pack("<d", value)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_LONGEST_VARINT):
        if position + index >= len(data):
            raise WireError("a number is torn")
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & _64_BITS, position + index + 1
    raise WireError("a number is longer than ten bytes")


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _unpacked(form: str, values: list[bytes]) -> float | None:
    size = struct.calcsize(form)
    fitting = [value for value in values if len(value) == size]
    return float(struct.unpack(form, fitting[-1])[0]) if fitting else None
