"""Rollouts are held once, whatever happens between sampling them and learning from them."""

import random
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from core.config.methods import KeepRollouts
from core.engines.base import FinishReason
from core.registry import rollout_entries
from core.registry.entries import RolloutsEntry, parse_entry, to_line
from core.registry.journal import JOURNAL_NAME, merge_journal
from core.registry.recorder import Recorder
from core.registry.store import Registry, open_registry
from core.responses.grade import GraderName
from core.workspace import Workspace
from tests.core.registry.conftest import evaluation_result, go_back, new_run
from tests.rollouts import batch, right

ROOT = Path(__file__).parents[3]
HOSTILE = "\x1b[31m[bold]\x00 é 𝄞 \u202e \ud800"
TEXTS = [[right(42), right(7)], ["never closes <answer> 42", HOSTILE]]
OTHER = [[right(1), right(2)], [right(3), right(4)]]


@pytest.fixture
def run(registry: Registry) -> str:
    return registry.create_run(new_run(id="grpo-test", kind="grpo", data_hash="d" * 64)).uuid


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    return workspace.run_folder("grpo-test")


def texts(registry: Registry, run: str, step: int | None = None) -> list[str]:
    return [stored.response.text for stored in registry.rollouts(run, step)]


def flat(groups: list[list[str]]) -> list[str]:
    return [text.replace("\ud800", "\\ud800") for group in groups for text in group]


def counted(registry: Registry, table: str) -> int:
    return int(registry.database.read(f"SELECT COUNT(*) FROM {table}")[0][0])


def test_a_batch_keeps_every_rollout_with_problem_tokens_and_grades(
    registry: Registry, run: str, folder: Path
) -> None:
    sampled = batch(TEXTS, number=3, first_step=13)
    with Recorder(registry, run, folder) as recorder:
        recorder.rollouts(sampled, KeepRollouts.ALL)
    found = registry.rollouts(run)
    assert [r.response.text for r in found] == flat(TEXTS)
    assert {(r.number, r.step, r.grader) for r in found} == {(3, 13, "strict")}
    assert [(r.response.problem_id, r.response.sample) for r in found] == [
        ("q-0", 0),
        ("q-0", 1),
        ("q-1", 0),
        ("q-1", 1),
    ]
    assert found[0].response.question == "Question 0?"
    assert (found[0].response.truth, found[0].response.tokens) == ("42", 7)
    assert [r.grade.right for r in found] == [True, False, False, False]
    assert found[0].response.grades.keys() == set(sampled.rollouts[0].response.verdicts)
    assert found[1].grade.failure == "wrong_number"
    for stored, rollout in zip(found, sampled.rollouts, strict=True):
        assert stored.token_ids == rollout.response.token_ids
        assert stored.logprobs == pytest.approx(rollout.engine_logprobs, rel=1e-7)


def test_batches_are_listed_in_short(registry: Registry, run: str, folder: Path) -> None:
    with Recorder(registry, run, folder) as recorder:
        for number, step in enumerate((1, 5)):
            recorder.rollouts(batch(TEXTS, number=number, first_step=step), KeepRollouts.TEXT)
    found = registry.rollout_batches(run)
    assert [(b.number, b.step, b.n, b.per_question) for b in found] == [(0, 1, 4, 2), (1, 5, 4, 2)]
    assert (found[0].generate_seconds, found[0].sync_seconds) == (1.5, 1 / 3)
    assert texts(registry, run, 5) == flat(TEXTS)
    assert texts(registry, run, 2) == []
    assert len(registry.rollouts(run)) == 8


def test_text_keeps_no_tokens_and_none_keeps_nothing(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder) as recorder:
        recorder.rollouts(batch(TEXTS), KeepRollouts.TEXT)
        recorder.rollouts(batch(OTHER, number=1, first_step=2), KeepRollouts.NONE)
    found = registry.rollouts(run)
    assert [r.response.text for r in found] == flat(TEXTS)
    assert {(r.token_ids, r.logprobs) for r in found} == {(None, None)}
    assert len(registry.rollout_batches(run)) == 1
    assert b'"number":1' not in (folder / JOURNAL_NAME).read_bytes()


def test_what_a_newer_segment_took_back_is_not_shown(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder) as recorder:
        for number, step in enumerate((1, 5, 9)):
            recorder.rollouts(batch(TEXTS, number=number, first_step=step), KeepRollouts.TEXT)
        recorder.begin_segment(6)
        assert [b.step for b in registry.rollout_batches(run)] == [1, 5]
        recorder.rollouts(batch(OTHER, number=2, first_step=9), KeepRollouts.TEXT)
    assert [b.step for b in registry.rollout_batches(run)] == [1, 5, 9]
    assert texts(registry, run, 9) == flat(OTHER)
    assert counted(registry, "rollout_batch") == 4, "what was taken back is hidden, not lost"


def test_a_batch_that_a_resumed_run_goes_on_with_is_held_once(
    registry: Registry, run: str, folder: Path
) -> None:
    sampled = batch(TEXTS, number=3, first_step=13)
    with Recorder(registry, run, folder) as recorder:
        recorder.rollouts(sampled, KeepRollouts.ALL)
    for start in (12, 14):  # before its first update, and between its updates
        with Recorder(registry, run, folder) as recorder:
            recorder.begin_segment(start)
            recorder.rollouts(replace(sampled, generate_seconds=9.0), KeepRollouts.ALL)
        assert texts(registry, run) == flat(TEXTS)
    assert counted(registry, "rollout_batch") == 1
    assert counted(registry, "response") == 4


def test_a_round_that_taught_nothing_shares_its_step_with_the_next(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder) as recorder:
        recorder.rollouts(batch(TEXTS, number=0, first_step=1), KeepRollouts.TEXT)
        recorder.rollouts(batch(OTHER, number=1, first_step=1), KeepRollouts.TEXT)
    assert texts(registry, run, 1) == flat(TEXTS) + flat(OTHER)


def test_a_problem_that_was_asked_again_has_further_samples(
    registry: Registry, run: str, folder: Path
) -> None:
    sampled = batch(TEXTS)
    both = (*sampled.rollouts, *sampled.rollouts[:2])
    again = replace(sampled, problems=(*sampled.problems, sampled.problems[0]), rollouts=both)
    with Recorder(registry, run, folder) as recorder:
        recorder.rollouts(again, KeepRollouts.TEXT)
    found = [(r.response.problem_id, r.response.sample) for r in registry.rollouts(run)]
    assert found == [("q-0", 0), ("q-0", 1), ("q-1", 0), ("q-1", 1), ("q-0", 2), ("q-0", 3)]


def test_problems_are_stored_once_for_all_batches_of_a_data_set(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder) as recorder:
        for number in range(3):
            recorder.rollouts(batch(TEXTS, number=number, first_step=1 + number), KeepRollouts.TEXT)
    assert registry.database.read("SELECT DISTINCT data_hash FROM problem") == [("d" * 64,)]
    assert counted(registry, "problem") == 2


def test_rollouts_are_no_evaluation(registry: Registry, run: str, folder: Path) -> None:
    with Recorder(registry, run, folder) as recorder:
        uuid = recorder.evaluation(evaluation_result([right(42), right(1)], step=0))
        recorder.rollouts(batch(TEXTS), KeepRollouts.TEXT)
    (evaluation,) = registry.evaluations([run])
    assert (evaluation.n, evaluation.accuracy) == (2, 0.5)
    assert len(registry.responses(uuid)) == 2
    assert registry.headlines([run])[run].n == 2
    assert registry.solved_questions(run) == {"Question 0?"}
    from core.registry.answers import answers_to, problem_ids

    assert problem_ids(registry) == ["p-0", "p-1"]
    assert answers_to(registry, "q-0") == []


def test_merging_twice_changes_nothing(registry: Registry, run: str, folder: Path) -> None:
    with Recorder(registry, run, folder) as recorder:
        recorder.rollouts(batch(TEXTS, number=0, first_step=1), KeepRollouts.ALL)
        recorder.rollouts(batch(OTHER, number=1, first_step=5), KeepRollouts.TEXT)
        recorder.begin_segment(4)
        recorder.rollouts(batch(OTHER, number=1, first_step=5), KeepRollouts.TEXT)
    before = _everything(registry)
    with registry.database.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET journal_bytes = 0")
    assert merge_journal(registry, folder).damaged == 0
    assert _everything(registry) == before


def test_a_journal_carries_rollouts_into_another_registry(
    registry: Registry, run: str, folder: Path, tmp_path: Path
) -> None:
    with Recorder(registry, run, folder) as recorder:
        recorder.rollouts(batch(TEXTS), KeepRollouts.ALL)
    other = open_registry(f"sqlite:///{tmp_path / 'other.db'}")
    merge_journal(other, folder)
    assert other.rollouts(run) == registry.rollouts(run)


def test_damaged_rows_are_left_out_and_reported(registry: Registry, run: str, folder: Path) -> None:
    with Recorder(registry, run, folder) as recorder:
        recorder.rollouts(batch(TEXTS), KeepRollouts.TEXT)
        recorder.rollouts(batch(OTHER, number=1, first_step=2), KeepRollouts.TEXT)
    lines = (folder / JOURNAL_NAME).read_bytes().splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if b'"entry":"rollouts"' in line)
    entry = parse_entry(lines[place])
    assert isinstance(entry, RolloutsEntry)
    middle = len(entry.rows) // 2
    spoiled = entry.rows[:middle] + bytes([entry.rows[middle] ^ 1]) + entry.rows[middle + 1 :]
    lines[place] = to_line(entry.model_copy(update={"rows": spoiled}))
    (folder / JOURNAL_NAME).write_bytes(b"".join(lines))
    other = open_registry(f"sqlite:///{folder / 'other.db'}")
    assert merge_journal(other, folder).damaged == 1
    assert texts(other, run) == flat(OTHER)
    assert [e.kind for e in other.events(run)] == ["journal_damaged"]


def test_deleting_a_run_names_its_rollouts_and_takes_them(
    registry: Registry, run: str, folder: Path
) -> None:
    other = registry.create_run(new_run(kind="grpo"))
    with Recorder(registry, run, folder) as recorder:
        recorder.rollouts(batch(TEXTS), KeepRollouts.ALL)
    with Recorder(registry, other.uuid, folder.parent / other.id) as recorder:
        recorder.rollouts(batch(TEXTS), KeepRollouts.ALL)
    gone = registry.delete_run(run)
    assert (gone.rows["rollout_batch"], gone.rows["response"]) == (1, 4)
    assert gone.rows["grade"] == counted(registry, "grade")
    assert registry.rollouts(run) == []
    assert texts(registry, other.uuid) == flat(TEXTS)
    assert (counted(registry, "rollout_batch"), counted(registry, "response")) == (1, 4)


def test_the_same_numbers_in_two_runs_are_two_batches(
    registry: Registry, run: str, folder: Path
) -> None:
    other = registry.create_run(new_run(kind="grpo")).uuid
    for uuid, where in ((run, folder), (other, folder.parent / "other")):
        with Recorder(registry, uuid, where) as recorder:
            recorder.rollouts(batch(TEXTS), KeepRollouts.TEXT)
    assert texts(registry, run) == texts(registry, other) == flat(TEXTS)


def test_entries_are_built_on_the_recorders_own_thread(
    registry: Registry, run: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[threading.Thread] = []
    original = rollout_entries.rollouts_entry

    def build(*arguments: object, **named: object) -> object:
        built.append(threading.current_thread())
        return original(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("core.registry.recorder.rollouts_entry", build)
    with Recorder(registry, run, folder, interval=0.01) as recorder:
        recorder.rollouts(batch(TEXTS), KeepRollouts.ALL)
        while not built:
            threading.Event().wait(0.01)
    assert built[0] is not threading.main_thread()


def test_a_batch_is_one_line_that_reads_back_as_it_was() -> None:
    sampled = batch(TEXTS)
    entry = rollout_entries.rollouts_entry(
        sampled, KeepRollouts.ALL, run_uuid="u", data_hash="d", segment=2, time=0.5
    )
    assert entry is not None
    line = to_line(entry)
    assert line.count(b"\n") == 1
    assert parse_entry(line) == entry
    problems, rows = rollout_entries.rows_of(entry)
    assert [problem.id for problem in problems] == ["q-0", "q-1"]
    assert [row.finish for row in rows] == [FinishReason.STOP_STRING.value] * 4
    graders = {rollout.grader for rollout in sampled.rollouts}
    assert graders == {GraderName(entry.grader)}


def test_an_older_registry_gets_room_for_rollouts_and_keeps_what_it_holds(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder) as recorder:
        uuid = recorder.evaluation(evaluation_result([right(42), right(1)]))
        recorder.rollouts(batch(TEXTS), KeepRollouts.ALL)
    held = registry.responses(uuid)
    go_back(registry, "0003")
    upgraded = open_registry(registry.database.url)
    assert upgraded.responses(uuid) == held
    assert upgraded.rollouts(run) == []
    with upgraded.database.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET journal_bytes = 0")
    merge_journal(upgraded, folder)
    assert texts(upgraded, run) == flat(TEXTS)


_RECORD = """
import sys
from pathlib import Path
from core.config.methods import KeepRollouts
from core.registry.recorder import Recorder
from core.registry.store import open_registry
from tests.rollouts import batch, right
url, uuid, folder = sys.argv[1:]
with Recorder(open_registry(url), uuid, Path(folder), interval=0.01) as recorder:
    for number in range(100_000):
        texts = [[right(number), right(42)], [right(number + 1), "no"]]
        recorder.rollouts(batch(texts, number=number, first_step=number + 1), KeepRollouts.ALL)
        if number % 10 == 9:
            recorder.flush(0)
            print(number, flush=True)
"""


@pytest.mark.slow
def test_a_kill_between_journal_and_database_loses_no_rollout(
    registry: Registry, workspace: Workspace, run: str, folder: Path
) -> None:
    arguments = [registry.database.url, run, str(folder)]
    process = subprocess.Popen(
        [sys.executable, "-c", _RECORD, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    flushed = 0
    for _ in range(random.Random(3).randint(2, 6)):
        flushed = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    flushed = max([flushed, *map(int, rest)])
    registry.merge_left_behind(workspace)
    batches = registry.rollout_batches(run)
    assert [b.number for b in batches] == list(range(len(batches)))
    assert len(batches) > flushed
    assert len(registry.rollouts(run)) == 4 * len(batches)
    last = registry.rollouts(run, batches[-1].step)
    assert last[0].response.text == right(batches[-1].number)


def _everything(registry: Registry) -> dict[str, list[tuple[object, ...]]]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'run'"
    tables = [row[0] for row in registry.database.read(query)]
    return {table: registry.database.read(f"SELECT * FROM {table}") for table in tables}
