"""Messages of TensorBoard's event files by the numbers of their published definitions."""

import struct
from dataclasses import dataclass
from typing import Any

from core.interchange.wire import Message, Value, WireError, fields

_DTYPES = {1: "f", 2: "d", 3: "i", 5: "h", 6: "b", 9: "q", 4: "B", 10: "?", 19: "e"}
"""Number of the type in a tensor -> how `struct` calls it; strings and bfloat16 are apart."""
_STRING, _BFLOAT16 = 7, 14
_PACKED_FLOATS = {1: (5, "f"), 2: (6, "d")}
_PACKED_INTEGERS = {3: 7, 4: 7, 5: 7, 6: 7, 9: 10, 10: 11}
_TEXTS, _HPARAMS = "text", "hparams"


@dataclass(frozen=True, slots=True)
class Scalar:
    """One point."""

    tag: str
    step: int
    time: float
    value: float


@dataclass(frozen=True, slots=True)
class TextNote:
    """A logged text."""

    tag: str
    text: str


@dataclass(frozen=True, slots=True)
class Parameters:
    """Hyperparameters of a session, or how it ended: 1 well, 2 badly."""

    values: dict[str, Any]
    ending: int


Found = Scalar | TextNote | Parameters | str
"""What an event holds; a text is the kind of something that is not read."""


def event_values(data: bytes) -> list[Found]:
    """What one event holds.

    Raises:
        WireError: it is no message.
    """
    event = Message(data)
    time, step = event.double(1) or 0.0, event.integer(2)
    return [_value(value, step, time) for value in event.message(5).messages(1)]


def _value(value: Message, step: int, time: float) -> Found:
    tag = value.text(1)
    plugin = value.message(9).message(1)
    name = plugin.text(1)
    if name == _HPARAMS:
        return _parameters(Message(plugin.blob(2)))
    simple = value.float(2)
    if simple is not None:
        return Scalar(tag, step, time, simple)
    if 8 in value:
        tensor = value.message(8)
        if name == _TEXTS or tensor.integer(1) == _STRING:
            return TextNote(tag, "\n".join(tensor.texts(8)))
        number = tensor_scalar(tensor)
        if number is not None and name in ("scalars", ""):
            return Scalar(tag, step, time, number)
        return f"values of the kind {name or 'tensor'}"
    kinds = {3: "histogram", 4: "image", 5: "histogram", 6: "audio"}
    return f"values of the kind {next((kinds[n] for n in kinds if n in value), 'unknown')}"


def tensor_scalar(tensor: Message) -> float | None:
    """The one number in a tensor; None where it holds several, or none that can be read."""
    if any(dim.integer(1) != 1 for dim in tensor.message(2).messages(2)):
        return None
    dtype, content = tensor.integer(1), tensor.blob(4)
    if dtype == _BFLOAT16 and len(content) == 2:
        return float(struct.unpack("<f", b"\0\0" + content)[0])
    form = _DTYPES.get(dtype)
    if form is None:
        return None
    if content:
        fits = len(content) == struct.calcsize(form)
        return float(struct.unpack(f"<{form}", content)[0]) if fits else None
    if dtype in _PACKED_FLOATS:
        number, form = _PACKED_FLOATS[dtype]
        return _first_float(tensor.blob(number), form)
    if dtype in _PACKED_INTEGERS:
        return _first_integer(tensor, _PACKED_INTEGERS[dtype])
    return None


def _first_float(packed: bytes, form: str) -> float:
    size = struct.calcsize(form)
    # a repeated field that is left out is all zeros
    return float(struct.unpack(f"<{form}", packed[:size])[0]) if len(packed) >= size else 0.0


def _first_integer(tensor: Message, number: int) -> float:
    packed = tensor.blob(number)
    if not packed:
        return float(tensor.integer(number))
    # numbers one after the other: read as if each were the value of a field with one-byte key
    for _, value in fields(b"\x08" + packed):
        found: Value = value
        if isinstance(found, int):
            return float(found - (1 << 64) if found >> 63 else found)
    raise WireError("a packed number is damaged")


def _parameters(plugin: Message) -> Parameters:
    values = {}
    for entry in plugin.message(3).messages(1):
        value = entry.message(2)
        known: Any = value.text(3) if 3 in value else None
        if 2 in value:
            number = value.double(2)
            known = int(number) if number is not None and number == number // 1 else number
        elif 4 in value:
            known = bool(value.integer(4))
        values[entry.text(1)] = known
    return Parameters(values, plugin.message(4).integer(1))
