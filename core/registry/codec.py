"""How values that a database column cannot hold as they are, are written and read back."""

import json
import math
import struct
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import UserError

if TYPE_CHECKING:
    import zstandard

RAW = b"\x00"
"""First byte of a text that is stored as it is."""
_ZSTD = b"\x01"
_LEVEL = 6
_PER_THREAD = threading.local()
_NONFINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def stored_table(text: str, what: str) -> dict[str, Any]:
    """What a column holds as a JSON object.

    Args:
        text: The column.
        what: What to call it in messages.

    Raises:
        UserError: somebody has put something else there.
    """
    try:
        found = json.loads(text)
        if isinstance(found, dict):
            return found
        raise ValueError("it is no JSON object")
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(
            f"{what} in the registry is damaged; restore a backup of it, or make it anew from the "
            "journals in runs/"
        ) from error


def compress_text(text: str) -> bytes:
    """Text as a marker byte and a payload that can be read by itself."""
    raw = text.encode("utf-8", "surrogatepass")
    packed = bytes(_compressor().compress(raw))
    return _ZSTD + packed if len(packed) < len(raw) else RAW + raw


def decompress_text(stored: bytes) -> str:
    """The text behind `compress_text`; for any stored text there is `texts.TextReader`.

    Raises:
        ValueError: the marker is unknown, so that a newer tool wrote it.
    """
    marker, payload = stored[:1], stored[1:]
    if marker == _ZSTD:
        payload = _decompressor().decompress(payload)
    elif marker != RAW:
        raise ValueError(f"text with codec {marker!r} was written by a newer a5ctl; upgrade it")
    return payload.decode("utf-8", "surrogatepass")


def pack_lines(lines: Iterable[bytes]) -> bytes:
    """Lines without line breaks inside, compressed, with a checksum."""
    import zstandard

    # a level that costs little: these are written once, and read only when something went wrong
    return bytes(zstandard.ZstdCompressor(level=3, write_checksum=True).compress(b"\n".join(lines)))


def unpack_lines(packed: bytes) -> list[bytes]:
    """The inverse of `pack_lines`.

    Raises:
        ValueError: the bytes are damaged.
    """
    import zstandard

    try:
        return bytes(_decompressor().decompress(packed)).split(b"\n")
    except zstandard.ZstdError as error:
        raise ValueError(f"compressed lines are damaged: {error}") from error


def pack_integers(values: Sequence[int]) -> bytes:
    """Token ids as 32-bit integers, little-endian."""
    return struct.pack(f"<{len(values)}i", *values)


def unpack_integers(packed: bytes) -> tuple[int, ...]:
    """The inverse of `pack_integers`."""
    return struct.unpack(f"<{len(packed) // 4}i", packed)


def pack_floats(values: Sequence[float]) -> bytes:
    """Log-probabilities as 32-bit floats, little-endian: the precision that engines give."""
    return struct.pack(f"<{len(values)}f", *values)


def unpack_floats(packed: bytes) -> tuple[float, ...]:
    """The inverse of `pack_floats`."""
    return struct.unpack(f"<{len(packed) // 4}f", packed)


def split_value(value: float) -> tuple[float | None, str | None]:
    """A float as (finite value, name of the non-finite one): exactly one of them is None."""
    if math.isfinite(value):
        return value, None
    return None, "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def join_value(value: float | None, nonfinite: str | None) -> float:
    """The float behind `split_value`."""
    return _NONFINITE[nonfinite] if nonfinite is not None else 0.0 if value is None else value


def clean(text: str) -> str:
    """Text without lone surrogates, which neither SQLite nor JSON readers take."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _compressor() -> "zstandard.ZstdCompressor":
    if not hasattr(_PER_THREAD, "compressor"):
        import zstandard

        _PER_THREAD.compressor = zstandard.ZstdCompressor(level=_LEVEL)
    return _PER_THREAD.compressor


def _decompressor() -> "zstandard.ZstdDecompressor":
    if not hasattr(_PER_THREAD, "decompressor"):
        import zstandard

        _PER_THREAD.decompressor = zstandard.ZstdDecompressor()
    return _PER_THREAD.decompressor
