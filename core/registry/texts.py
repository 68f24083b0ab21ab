"""Texts of one run compressed with a dictionary: some of the run's own responses, end to end.

Responses of one run repeat each other: the same problems, phrases and tags. A short one compressed
alone keeps most of its length; beside a thousand others it keeps a tenth. Each stays readable
without any other row but the dictionary. Nothing here touches a database.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from core.registry.codec import RAW, decompress_text
from core.units import MIB

if TYPE_CHECKING:
    import zstandard

WITH_DICTIONARY = b"\x02"
"""First byte of a text that needs a dictionary; its id follows in four bytes, little-endian."""

LARGEST_DICTIONARY = MIB
_LEVEL = 12
_LEVEL_OF_DICTIONARY = 15
_ID_BYTES = 4
_KEPT = 8


@dataclass(frozen=True)
class Dictionary:
    """What texts are compressed with.

    Attributes:
        id: A number below 2**32.
        packed: The content, compressed.
    """

    id: int
    packed: bytes

    @cached_property
    def content(self) -> bytes:
        """Texts end to end, as they are.

        Raises:
            ValueError: the bytes are damaged.
        """
        import zstandard

        try:
            return bytes(
                zstandard.ZstdDecompressor().decompress(
                    self.packed, max_output_size=LARGEST_DICTIONARY
                )
            )
        except zstandard.ZstdError as error:
            raise ValueError(f"dictionary {self.id} is damaged: {error}") from error


def pack_dictionary(content: bytes) -> bytes:
    """Content of a dictionary as it is stored."""
    import zstandard

    return bytes(
        zstandard.ZstdCompressor(level=_LEVEL_OF_DICTIONARY, write_checksum=True).compress(content)
    )


class TextWriter:
    """Compresses texts with one dictionary, or stores them raw where that is shorter."""

    def __init__(self, identity: int, content: bytes) -> None:
        import zstandard

        self._head = WITH_DICTIONARY + identity.to_bytes(_ID_BYTES, "little")
        # without the four bytes that say it is zstd: the marker says so
        settings = zstandard.ZstdCompressionParameters.from_level(
            _LEVEL,
            dict_size=len(content),
            format=zstandard.FORMAT_ZSTD1_MAGICLESS,
            write_content_size=True,
            write_dict_id=False,
        )
        dictionary = _raw_content(content)
        dictionary.precompute_compress(compression_params=settings)
        self._compressor = zstandard.ZstdCompressor(
            compression_params=settings, dict_data=dictionary
        )

    def compress_text(self, text: str) -> bytes:
        """One text as it is stored."""
        return self.compress(text.encode("utf-8", "surrogatepass"))

    def compress(self, raw: bytes) -> bytes:
        """The same of UTF-8 bytes."""
        packed = self._head + bytes(self._compressor.compress(raw))
        return packed if len(packed) <= len(raw) else RAW + raw


class TextReader:
    """Reads stored texts, whatever they were compressed with; for one thread at a time.

    Args:
        find: Gives the dictionary of an id; None where there is none.
    """

    def __init__(self, find: Callable[[int], Dictionary | None]) -> None:
        self._find = find
        self._decompressors: OrderedDict[int, zstandard.ZstdDecompressor] = OrderedDict()

    def text(self, stored: bytes) -> str:
        """The text behind stored bytes.

        Raises:
            ValueError: a newer tool wrote them, or they or their dictionary are damaged.
        """
        if stored[:1] != WITH_DICTIONARY:
            return decompress_text(stored)
        import zstandard

        begin = 1 + _ID_BYTES
        decompressor = self._decompressor(int.from_bytes(stored[1:begin], "little"))
        try:
            return bytes(decompressor.decompress(stored[begin:])).decode("utf-8", "surrogatepass")
        except zstandard.ZstdError as error:
            raise ValueError(f"a compressed text is damaged: {error}") from error

    def _decompressor(self, identity: int) -> "zstandard.ZstdDecompressor":
        import zstandard

        if identity in self._decompressors:
            self._decompressors.move_to_end(identity)
            return self._decompressors[identity]
        dictionary = self._find(identity)
        if dictionary is None:
            raise ValueError(f"dictionary {identity} of a compressed text is gone")
        made = zstandard.ZstdDecompressor(
            dict_data=_raw_content(dictionary.content), format=zstandard.FORMAT_ZSTD1_MAGICLESS
        )
        self._decompressors[identity] = made
        if len(self._decompressors) > _KEPT:
            self._decompressors.popitem(last=False)
        return made


def _raw_content(content: bytes) -> "zstandard.ZstdCompressionDict":
    import zstandard

    return zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
