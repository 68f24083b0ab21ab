"""CRC-32C (Castagnoli), and the masked form that record files of TensorFlow carry.

The polynomial is 0x1EDC6F41 (RFC 3720, section 12.1); tables here hold its reflection. A masked
checksum is rotated and shifted, so that the checksum of data that holds checksums stays useful.
"""

_REFLECTED = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_ALL = 0xFFFFFFFF


def _entry(index: int) -> int:
    for _ in range(8):
        index = (index >> 1) ^ (_REFLECTED if index & 1 else 0)
    return index


_TABLE = tuple(_entry(index) for index in range(256))


def crc32c(data: bytes, start: int = 0) -> int:
    """Checksum of bytes.

    Args:
        data: What is summed.
        start: Checksum of what comes before it.
    """
    table, crc = _TABLE, start ^ _ALL
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ _ALL


def masked_crc32c(data: bytes) -> int:
    """The checksum as record files hold it."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & _ALL
