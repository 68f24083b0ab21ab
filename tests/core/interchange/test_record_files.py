"""The two framings: everything that is whole is read, and every damage is told."""

import io
import struct
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from core.interchange.record_files import WANDB_MAGIC, read_log, read_tfrecords, tfrecord

LONGEST = 10**6


def log_of(records: list[bytes]) -> bytes:
    """A `.wandb` file, written as the format is described."""
    out = bytearray(WANDB_MAGIC)
    for record in records:
        position, first = 0, True
        while True:
            room = 32768 - len(out) % 32768
            if room < 7:
                out += bytes(room)
                continue
            part = record[position : position + room - 7]
            position += len(part)
            last = position == len(record)
            kind = (1 if last else 2) if first else (4 if last else 3)
            out += struct.pack("<IHB", zlib.crc32(bytes([kind]) + part), len(part), kind) + part
            first = False
            if last:
                break
    return bytes(out)


def read(data: bytes, longest: int = LONGEST) -> tuple[list[bytes], list[str]]:
    complaints: list[str] = []
    return list(read_log(io.BytesIO(data), complaints.append, longest)), complaints


def read_tf(data: bytes, longest: int = LONGEST) -> tuple[list[bytes], list[str]]:
    complaints: list[str] = []
    return list(read_tfrecords(io.BytesIO(data), complaints.append, longest)), complaints


@given(st.lists(st.integers(0, 70_000), max_size=5))
@settings(max_examples=30)
def test_records_of_any_length_come_back_from_a_log(sizes: list[int]) -> None:
    records = [bytes([index % 251]) * size for index, size in enumerate(sizes, start=1)]
    assert read(log_of(records)) == (records, [])


@given(st.data())
@settings(max_examples=30)
def test_a_log_that_is_cut_anywhere_gives_the_records_before(data: st.DataObject) -> None:
    records = [bytes([index]) * size for index, size in enumerate((40, 500, 40_000, 3), start=1)]
    whole = log_of(records)
    cut = data.draw(st.integers(min_value=0, max_value=len(whole)))
    found, complaints = read(whole[:cut])
    assert found == records[: len(found)]
    ends = {len(log_of(records[:number])) for number in range(5)}
    assert (cut in ends) == (not complaints)


def test_one_wrong_bit_in_a_log_costs_no_more_than_its_block() -> None:
    records = [bytes([index]) * 10_000 for index in range(1, 11)]
    damaged = bytearray(log_of(records))
    damaged[15_000] ^= 1
    found, complaints = read(bytes(damaged))
    assert "checksum" in complaints[0]
    assert found[0] == records[0]
    assert found[-6:] == records[-6:]


def test_a_record_that_is_too_long_is_left_out() -> None:
    found, complaints = read(log_of([b"a" * 50_000, b"b"]), longest=1000)
    assert found == [b"b"]
    assert "50000 bytes" in complaints[0]


def test_a_file_that_is_no_log() -> None:
    assert read(b"something else")[0] == []
    assert read(b"")[1] == ["it does not begin as a W&B file does"]


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_tfrecords_come_back(records: list[bytes]) -> None:
    assert read_tf(b"".join(map(tfrecord, records))) == (records, [])


@given(st.data())
@settings(max_examples=30)
def test_tfrecords_that_are_cut_anywhere(data: st.DataObject) -> None:
    records = [b"one", b"", b"three" * 20]
    whole = b"".join(map(tfrecord, records))
    cut = data.draw(st.integers(min_value=0, max_value=len(whole)))
    found, complaints = read_tf(whole[:cut])
    assert found == records[: len(found)]
    ends = {len(b"".join(map(tfrecord, records[:number]))) for number in range(4)}
    assert (cut in ends) == (not complaints)


def test_damaged_data_costs_one_record_and_a_damaged_length_the_rest() -> None:
    frames = [tfrecord(b"first"), tfrecord(b"second"), tfrecord(b"third")]
    data = bytearray(frames[1])
    data[14] ^= 1
    assert read_tf(frames[0] + bytes(data) + frames[2])[0] == [b"first", b"third"]
    length = bytearray(frames[1])
    length[0] ^= 1
    found, complaints = read_tf(frames[0] + bytes(length) + frames[2])
    assert found == [b"first"]
    assert "cannot be found" in complaints[0]


def test_a_length_beyond_the_file_takes_no_memory() -> None:
    from core.interchange.crc32c import masked_crc32c

    head = struct.pack("<Q", 2**60)
    frame = head + struct.pack("<I", masked_crc32c(head)) + b"short"
    assert read_tf(frame) == ([], ["it ends inside a record"])
