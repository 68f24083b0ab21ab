"""Writes TensorBoard event files, without TensorBoard.

Scalars are tensors of doubles, so that nothing is rounded: TensorBoard's own newer form, with 64
bits where it usually has 32.
"""

import struct
from pathlib import Path
from types import TracebackType
from typing import IO

from core.interchange.record_files import tfrecord
from core.interchange.wire import bytes_field, double_field, varint_field

_FILE_VERSION = b"brain.Event:2"
_DOUBLE, _STRING = 2, 7
_SCALAR_CLASS, _TENSOR_CLASS = 1, 2


class EventWriter:
    """One event file; use it as a context manager.

    Args:
        path: The file; its name must hold `tfevents` for TensorBoard to see it.
        time: When the run began, in seconds since the epoch.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, time: float) -> None:
        self._file: IO[bytes] = path.open("wb")
        self._described: set[str] = set()
        self._write(double_field(1, time) + bytes_field(3, _FILE_VERSION))

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def scalar(self, tag: str, step: int, time: float, value: float) -> None:
        """Write one point."""
        shape = bytes_field(2, b"")
        packed = bytes_field(6, struct.pack("<d", value))
        tensor = varint_field(1, _DOUBLE) + shape + packed
        self._value(tag, step, time, tensor, "scalars", _SCALAR_CLASS)

    def text(self, tag: str, step: int, time: float, text: str) -> None:
        """Write a text; TensorBoard shows it as Markdown."""
        size = bytes_field(2, varint_field(1, 1))
        held = bytes_field(8, text.encode("utf-8", "backslashreplace"))
        tensor = varint_field(1, _STRING) + bytes_field(2, size) + held
        self._value(f"{tag}/text_summary", step, time, tensor, "text", _TENSOR_CLASS)

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Write everything and close the file."""
        self._file.close()

    def _value(
        self, tag: str, step: int, time: float, tensor: bytes, plugin: str, data_class: int
    ) -> None:
        value = bytes_field(1, tag.encode("utf-8", "backslashreplace")) + bytes_field(8, tensor)
        if tag not in self._described:  # only the first value of a tag says what it is
            self._described.add(tag)
            about = bytes_field(1, bytes_field(1, plugin.encode()))
            value += bytes_field(9, about + varint_field(4, data_class))
        summary = bytes_field(5, bytes_field(1, value))
        self._write(double_field(1, time) + varint_field(2, step) + summary)

    def _write(self, event: bytes) -> None:
        self._file.write(tfrecord(event))
