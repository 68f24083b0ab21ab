"""Two framings of records in files: the log of LevelDB as W&B writes it, and TFRecord.

Both are read as far as they can be: a damaged or torn place is reported, and nothing is guessed.

- W&B: a header of 7 bytes, then blocks of 32 KiB with chunks of `crc32, length, type`; a record
  spans chunks of the types first, middle and last. The checksum is CRC-32 (IEEE) over type and
  data, other than in LevelDB itself. A damaged chunk costs the rest of its block.
- TFRecord: `length, masked crc32c of it, data, masked crc32c of that`. Nothing leads on from a
  damaged length, so that reading ends there.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import IO

from core.interchange.crc32c import masked_crc32c

WANDB_MAGIC = b":W&B\xe1\xbe\x00"
_BLOCK = 32768
_CHUNK_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")

Complain = Callable[[str], None]
"""Is told in a few words about each place that could not be read."""


def read_log(file: IO[bytes], complain: Complain, longest: int) -> Iterator[bytes]:
    """Records of a `.wandb` file.

    Args:
        file: Opened for bytes, at its beginning.
        complain: Hears of damage.
        longest: Bytes of a record; longer ones are left out.
    """
    if file.read(len(WANDB_MAGIC)) != WANDB_MAGIC:
        complain("it does not begin as a W&B file does")
        return
    record, size = bytearray(), 0
    begun, offset = False, len(WANDB_MAGIC)
    while block := file.read(_BLOCK - offset % _BLOCK):
        for kind, data in _chunks(block, offset, complain):
            if kind in (_FULL, _FIRST):
                if begun:
                    complain(f"a record before byte {offset} is not whole")
                record, size, begun = bytearray(), 0, True
            elif not begun:
                continue
            size += len(data)
            if size <= longest:
                record += data
            if kind in (_FULL, _LAST):
                begun = False
                if size <= longest:
                    yield bytes(record)
                else:
                    complain(f"a record of {size} bytes is too long")
        offset += len(block)
    if begun:
        complain("it ends inside a record")


def _chunks(block: bytes, offset: int, complain: Complain) -> Iterator[tuple[int, bytes]]:
    """(type, data) of the chunks of one block; after a damaged one the rest is left out."""
    position, header = 0, _CHUNK_HEADER.size
    while len(block) - position >= header:
        crc, size, kind = _CHUNK_HEADER.unpack_from(block, position)
        if kind == 0 and size == 0:  # room that was reserved and never used
            return
        data = block[position + header : position + header + size]
        where = offset + position
        if len(data) < size:
            complain(f"it is torn at byte {where}")
            return
        if kind > _LAST or zlib.crc32(bytes([kind]) + data) != crc:
            complain(f"the checksum at byte {where} is wrong")
            return
        yield kind, data
        position += header + size
    if position < len(block) and (offset + len(block)) % _BLOCK:
        complain(f"it is torn at byte {offset + position}")


def read_tfrecords(file: IO[bytes], complain: Complain, longest: int) -> Iterator[bytes]:
    """Records of a TFRecord file.

    Args:
        file: Opened for bytes, at its beginning; it can seek.
        complain: Hears of damage.
        longest: Bytes of a record; longer ones (pictures, graphs) are passed over, unread.
    """
    while head := file.read(_LENGTH.size + _CRC.size):
        if len(head) < _LENGTH.size + _CRC.size:
            complain("it ends inside a record")
            return
        (size,), (crc,) = _LENGTH.unpack_from(head), _CRC.unpack_from(head, _LENGTH.size)
        place = file.tell() - len(head)
        if masked_crc32c(head[: _LENGTH.size]) != crc:
            complain(f"the checksum at byte {place} is wrong, and what follows cannot be found")
            return
        if size > longest:
            if not _pass_over(file, size):
                complain("it ends inside a record")
                return
            continue
        data, tail = file.read(size), file.read(_CRC.size)
        if len(data) < size or len(tail) < _CRC.size:
            complain("it ends inside a record")
            return
        if masked_crc32c(data) != _CRC.unpack(tail)[0]:
            complain(f"the checksum of the record at byte {place} is wrong")
            continue
        yield data


def tfrecord(data: bytes) -> bytes:
    """One record with its frame."""
    head = _LENGTH.pack(len(data))
    crcs = _CRC.pack(masked_crc32c(head)), _CRC.pack(masked_crc32c(data))
    return head + crcs[0] + data + crcs[1]


def _pass_over(file: IO[bytes], size: int) -> bool:
    """Whether the file goes on behind a record that is not read."""
    end = file.tell() + size + _CRC.size
    return end <= file.seek(0, 2) and file.seek(end) == end
