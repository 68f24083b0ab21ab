"""Killed processes, torn lines, two writers at once: nothing that was written is lost."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.errors import UserError
from core.registry.entries import MetricsEntry, parse_entry, to_line
from core.registry.journal import JOURNAL_NAME, Journal, merge_journal
from core.registry.liveness import display_status
from core.registry.recorder import Recorder
from core.registry.store import Registry, RunStatus, open_registry
from core.workspace import Workspace
from tests.core.registry.conftest import answer, evaluation_result, new_run

ROOT = Path(__file__).parents[3]
_RECORD = """
import sys, time
from pathlib import Path
from core.registry.recorder import Recorder
from core.registry.store import open_registry
from tests.core.registry.conftest import answer, evaluation_result
url, uuid, folder, steps, pause = sys.argv[1:]
with Recorder(open_registry(url), uuid, Path(folder), interval=0.01) as recorder:
    for step in range(1, int(steps) + 1):
        recorder.metrics(step, {"loss": step / 2, "nan": float("nan")})
        if step % 20 == 0:
            recorder.evaluation(evaluation_result([answer(step), answer(42)], step=step))
            recorder.flush()
            print(step, flush=True)
        time.sleep(float(pause))
"""


@pytest.mark.slow
def test_a_run_killed_at_any_moment_keeps_everything_it_flushed(
    registry: Registry, workspace: Workspace
) -> None:
    chance = random.Random(7)
    for _ in range(4):
        run = registry.create_run(new_run())
        folder = workspace.run_folder(run.id)
        process = _start(registry, run.uuid, folder, steps=100_000, pause=0.001)
        assert process.stdout is not None
        flushed = int(process.stdout.readline())
        deadline = time.monotonic() + chance.uniform(0.0, 0.6)
        while time.monotonic() < deadline:
            flushed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait()
        flushed = max([flushed, *map(int, rest)])
        assert display_status(registry.run_by_uuid(run.uuid)) == "lost", "proven, without waiting"

        registry.merge_left_behind(workspace)
        _check_integrity(registry)
        losses = registry.metrics(run.uuid)["loss"]
        assert [p.step for p in losses] == list(range(1, len(losses) + 1))
        assert all(p.value == p.step / 2 for p in losses)
        assert len(losses) >= flushed
        evaluations = registry.evaluations([run.uuid])
        assert max(e.step for e in evaluations) >= flushed
        assert all(len(registry.responses(e.uuid)) == 2 for e in evaluations)
        assert registry.metric_summaries([run.uuid])[run.uuid]["loss"].last_step == len(losses)


@pytest.mark.slow
def test_a_killed_run_is_recorded_on_by_the_next_process(
    registry: Registry, workspace: Workspace
) -> None:
    run = registry.create_run(new_run())
    folder = workspace.run_folder(run.id)
    process = _start(registry, run.uuid, folder, steps=100_000, pause=0.001)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    with Recorder(registry, run.uuid, folder) as recorder:
        before = len(registry.metrics(run.uuid)["loss"])
        assert before >= 20
        recorder.begin_segment(10)
        recorder.metrics(11, {"loss": -1.0})
    assert [p.value for p in registry.metrics(run.uuid)["loss"]][9:] == [5.0, -1.0]
    assert registry.run_by_uuid(run.uuid).status is RunStatus.FINISHED


@pytest.mark.slow
def test_two_processes_record_into_one_registry_at_once(
    registry: Registry, workspace: Workspace
) -> None:
    runs = [registry.create_run(new_run()) for _ in range(2)]
    processes = [
        _start(registry, run.uuid, workspace.run_folder(run.id), steps=200, pause=0.0)
        for run in runs
    ]
    assert [process.wait(120) for process in processes] == [0, 0]
    for run in runs:
        assert len(registry.metrics(run.uuid)["loss"]) == 200
        assert len(registry.evaluations([run.uuid])) == 10
        assert registry.run_by_uuid(run.uuid).status is RunStatus.FINISHED
    _check_integrity(registry)


def test_merging_twice_changes_nothing(registry: Registry, workspace: Workspace) -> None:
    run = registry.create_run(new_run())
    folder = workspace.run_folder(run.id)
    _record_a_little(registry, run.uuid, folder)
    before = _everything(registry)
    assert merge_journal(registry, folder).merged == 0
    with registry.database.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET journal_bytes = 0")
    report = merge_journal(registry, folder)
    assert (report.run_id, report.damaged) == (run.id, 0)
    assert report.merged > 5
    assert _everything(registry) == before


def test_a_journal_carries_its_run_into_another_registry(
    registry: Registry, workspace: Workspace, tmp_path: Path
) -> None:
    run = registry.create_run(new_run(name="traveller", tags=("x",)))
    folder = workspace.run_folder(run.id)
    _record_a_little(registry, run.uuid, folder)
    other = open_registry(f"sqlite:///{tmp_path / 'other.db'}")
    other.create_run(new_run(id=run.id))
    merge_journal(other, folder)
    arrived = other.find_run(run.uuid)
    assert arrived.id != run.id, "the id was taken there"
    assert (arrived.name, arrived.tags, arrived.status) == ("traveller", ("x",), "finished")
    assert other.metrics(run.uuid) == registry.metrics(run.uuid)
    assert other.responses(other.evaluations([run.uuid])[0].uuid) == registry.responses(
        registry.evaluations([run.uuid])[0].uuid
    )


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_left_out_and_written_over(
    registry: Registry, workspace: Workspace, cut: int
) -> None:
    run = registry.create_run(new_run())
    folder = workspace.run_folder(run.id)
    folder.mkdir(parents=True)
    whole = [to_line(_metrics(step)) for step in (1, 2)]
    (folder / JOURNAL_NAME).write_bytes(whole[0] + whole[1][:-cut])
    with Recorder(registry, run.uuid, folder) as recorder:
        assert [p.step for p in registry.metrics(run.uuid)["loss"]] == [1]
        recorder.metrics(3, {"loss": 3.0})
    assert [p.step for p in registry.metrics(run.uuid)["loss"]] == [1, 3]
    lines = (folder / JOURNAL_NAME).read_bytes().splitlines()
    assert all(json.loads(line) for line in lines)


def test_damaged_lines_are_left_out_and_reported_once(
    registry: Registry, workspace: Workspace
) -> None:
    run = registry.create_run(new_run(id="sft-hurt"))
    folder = workspace.run_folder(run.id)
    folder.mkdir(parents=True)
    nonsense = [b"{}\n", b"\x00\xff\n", b'{"entry":"future","x":1}\n', b"[1]\n", b"\n"]
    lines = [to_line(_metrics(1)), *nonsense, to_line(_metrics(2))]
    (folder / JOURNAL_NAME).write_bytes(b"".join(lines))
    assert merge_journal(registry, folder).damaged == 4
    with registry.database.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET journal_bytes = 0")
    merge_journal(registry, folder)
    assert [p.step for p in registry.metrics(run.uuid)["loss"]] == [1, 2]
    assert [e.kind for e in registry.events(run.uuid)] == ["journal_damaged"]


def test_a_journal_without_a_known_run_is_left_alone(
    registry: Registry, workspace: Workspace
) -> None:
    folder = workspace.run_folder("unknown")
    folder.mkdir(parents=True)
    assert merge_journal(registry, folder).run_id is None
    (folder / JOURNAL_NAME).write_bytes(b'{"entry":"run","columns":{"uuid":"u"}}\n')
    with pytest.raises(UserError, match="does not describe its run"):
        merge_journal(registry, folder)


def test_a_write_that_fails_half_way_leaves_no_trace(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([b"one\n"])

    class HalfFull:
        def __init__(self, file: object) -> None:
            self.file = file

        def write(self, data: memoryview) -> int:
            if len(data) < 4:
                raise OSError(28, "No space left on device")
            return self.file.write(data[:2])  # type: ignore[attr-defined, no-any-return]

        def close(self) -> None:
            self.file.close()  # type: ignore[attr-defined]

    journal._file = HalfFull(journal._file)  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space left"):
        journal.append([b"two\n"])
    assert (tmp_path / JOURNAL_NAME).read_bytes() == b"one\n"
    journal.append([b"two\n"])
    assert (tmp_path / JOURNAL_NAME).read_bytes() == b"one\ntwo\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_real_full_disk_is_an_ordinary_error(tmp_path: Path) -> None:
    (tmp_path / JOURNAL_NAME).symlink_to("/dev/full")
    journal = Journal(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        journal.append([b"one\n"])


def test_lines_read_back_as_they_were_written() -> None:
    entry = MetricsEntry(
        segment=0, step=1, time=0.5, values={"nan": float("nan"), "inf": float("inf"), "x": 0.1}
    )
    line = to_line(entry)
    assert json.loads(line)["values"] == {"nan": "NaN", "inf": "Infinity", "x": 0.1}
    assert to_line(parse_entry(line)) == line


def test_a_folder_that_is_full_of_journal_is_merged_in_blocks(
    registry: Registry, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.registry.journal._LINES_PER_TRANSACTION", 3)
    run = registry.create_run(new_run())
    folder = workspace.run_folder(run.id)
    folder.mkdir(parents=True)
    (folder / JOURNAL_NAME).write_bytes(b"".join(to_line(_metrics(step)) for step in range(10)))
    assert merge_journal(registry, folder).merged == 10
    assert len(registry.metrics(run.uuid)["loss"]) == 10


def test_a_full_disk_stops_neither_the_run_nor_what_it_says(
    registry: Registry, workspace: Workspace
) -> None:
    resource = pytest.importorskip("resource")
    run = registry.create_run(new_run())
    folder = workspace.run_folder(run.id)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Recorder(registry, run.uuid, folder, interval=0.01) as recorder:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
            for step in range(1, 301):
                recorder.metrics(step, {"loss": float(step)})
            assert recorder.flush(timeout=0.5) is False
            assert recorder.problem is not None
            recorder.metrics(301, {"loss": 301.0})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.step for p in registry.metrics(run.uuid)["loss"]] == list(range(1, 302))
    assert registry.run_by_uuid(run.uuid).status is RunStatus.FINISHED
    steps = {json.loads(line).get("step") for line in (folder / JOURNAL_NAME).open()}
    assert steps >= set(range(1, 302)), "the journal has caught up too"
    _check_integrity(registry)


def _metrics(step: int) -> MetricsEntry:
    return MetricsEntry(segment=0, step=step, time=0.0, values={"loss": float(step)})


def _record_a_little(registry: Registry, uuid: str, folder: Path) -> None:
    with Recorder(registry, uuid, folder) as recorder:
        for step in range(1, 6):
            recorder.metrics(step, {"loss": float(step), "nan": float("nan")})
        recorder.evaluation(evaluation_result([answer(42), answer(1)], step=3))
        recorder.begin_segment(3)
        recorder.metrics(4, {"loss": 0.5})
        recorder.event("info", "note", "hello", data={"a": 1})
        (folder / "file").write_text("x")
        recorder.artifact("file", folder / "file")


def _everything(registry: Registry) -> dict[str, list[tuple[object, ...]]]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'run'"
    tables = [row[0] for row in registry.database.read(query)]
    return {table: registry.database.read(f"SELECT * FROM {table}") for table in tables}


def _start(
    registry: Registry, uuid: str, folder: Path, *, steps: int, pause: float
) -> subprocess.Popen[str]:
    arguments = [registry.database.url, uuid, str(folder), str(steps), str(pause)]
    return subprocess.Popen(
        [sys.executable, "-c", _RECORD, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def _check_integrity(registry: Registry) -> None:
    connection = sqlite3.connect(str(registry.database.path))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
