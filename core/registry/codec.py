"""How values that a database column cannot hold as they are, are written and read back."""

import math
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import zstandard

_RAW = b"\x00"
_ZSTD = b"\x01"
_LEVEL = 6
_PER_THREAD = threading.local()
_NONFINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def compress_text(text: str) -> bytes:
    """Text as a marker byte and a payload; the marker leaves room for a shared dictionary later."""
    raw = text.encode("utf-8", "surrogatepass")
    packed = bytes(_compressor().compress(raw))
    return _ZSTD + packed if len(packed) < len(raw) else _RAW + raw


def decompress_text(stored: bytes) -> str:
    """The text behind `compress_text`.

    Raises:
        ValueError: the marker is unknown, so that a newer tool wrote it.
    """
    marker, payload = stored[:1], stored[1:]
    if marker == _ZSTD:
        payload = _decompressor().decompress(payload)
    elif marker != _RAW:
        raise ValueError(f"text with codec {marker!r} was written by a newer a5ctl; upgrade it")
    return payload.decode("utf-8", "surrogatepass")


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
