"""Files and checksums are what was given, whether or not the disk lets the cache be passed."""

import errno
import os
from pathlib import Path

import pytest

from trainers import durable
from trainers.durable import FolderWriter, checksum_of, checksum_of_bytes

BUFFER = durable._BUFFER_BYTES
SIZES = [0, 1, 4095, 4096, BUFFER - 1, BUFFER, BUFFER + 1, 4 * BUFFER + 5000]


def content(size: int) -> bytes:
    return os.urandom(size)


def written(folder: Path, files: dict[str, list[bytes]]) -> dict[str, str]:
    with FolderWriter(folder) as writer:
        for name, parts in files.items():
            writer.write(name, parts)
        checksums = writer.checksums()
        writer.sync()
    return checksums


@pytest.mark.parametrize("direct", [True, False])
def test_files_and_checksums_are_those_of_their_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    if not direct:
        monkeypatch.setattr(durable, "_go_past_the_cache", lambda file, wanted: False)
    parts = {f"in/{size}": [content(size // 3), content(size - size // 3)] for size in SIZES}
    checksums = written(tmp_path, parts)
    for name, pieces in parts.items():
        whole = b"".join(pieces)
        assert (tmp_path / name).read_bytes() == whole
        assert checksums[name] == checksum_of(tmp_path / name) == checksum_of_bytes(whole)


def test_a_disk_that_takes_the_flag_and_refuses_the_bytes_is_written_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(os, "O_DIRECT"):
        pytest.skip("no direct writing here")
    import fcntl

    refused: list[int] = []

    class Choosy(durable.FileIO):
        def write(self, block: memoryview) -> int:
            if fcntl.fcntl(self.fileno(), fcntl.F_GETFL) & os.O_DIRECT:
                refused.append(len(block))
                raise OSError(errno.EINVAL, "Invalid argument")
            return super().write(block)

    monkeypatch.setattr(durable, "FileIO", Choosy)
    whole = content(2 * BUFFER + 7)
    checksums = written(tmp_path, {"file": [whole]})
    assert (tmp_path / "file").read_bytes() == whole
    assert checksums["file"] == checksum_of_bytes(whole)
    if not refused:
        pytest.skip("this file system takes no direct writing")


@pytest.mark.parametrize("after", [0, 1, 5])
def test_what_the_disk_says_reaches_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    calls = 0
    write = durable._write

    def full(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(durable, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path, {"file": [content(5 * BUFFER)], "other": [b"last"]})


def test_two_writers_at_once_do_not_share_their_buffers(tmp_path: Path) -> None:
    ones, twos = b"1" * (3 * BUFFER), b"2" * (3 * BUFFER)
    for turn in ("first", "second"):
        with FolderWriter(tmp_path) as one, FolderWriter(tmp_path) as two:
            one.write(f"{turn}-one", (two.write(f"{turn}-two", [twos]) or part for part in [ones]))
            one.sync()
            two.sync()
        assert (tmp_path / f"{turn}-one").read_bytes() == ones
        assert (tmp_path / f"{turn}-two").read_bytes() == twos
    assert len(durable._spare) == len({id(buffer) for buffer in durable._spare})


def test_a_file_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        written(tmp_path, {"file": [b"yours"]})
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_every_file_and_every_folder_is_synced_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int]] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        found = os.fstat(descriptor)
        synced.append((found.st_dev, found.st_ino))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    written(tmp_path, {"a": [b"1"], "in/b": [b"2"], "in/c": [content(BUFFER + 1)]})
    places = [p for p in (tmp_path, *tmp_path.rglob("*")) if p.is_file() or os.name != "nt"]
    assert sorted(synced) == sorted((p.stat().st_dev, p.stat().st_ino) for p in places)
