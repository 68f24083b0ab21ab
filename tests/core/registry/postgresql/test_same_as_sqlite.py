"""The same runs on both kinds of database say the same, whatever is in their texts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from core.registry.content import content_of, table_names
from core.registry.courses import accuracy_courses
from core.registry.entries import EventEntry, MetricsEntry
from core.registry.journal import merge_journal
from core.registry.labels import Labels, relabel
from core.registry.merge import store_entries
from core.registry.query.request import Selection
from core.registry.recorder import Recorder
from core.registry.records import CurvePoint, Outcome
from core.registry.response_lines import response_lines
from core.registry.store import Registry, open_registry
from core.registry.stretches import StretchPoint, stretches
from core.registry.watch import RegistryWatch, run_marks, run_signs
from core.workspace import Workspace
from tests.core.registry.conftest import answer, evaluation_result, new_run
from tests.core.registry.postgresql.server import Server
from tests.core.registry.query.conftest import HOSTILE, ROWS, fill

TEXTS = ("\0", "a\0b", "\uf8f0", "\uf8f00\0\uf8f01", "\\u0000", "\U0010ffff", "\ud800", HOSTILE)
FILTERS = (
    'tags has "a"',
    "metric.loss <= 0.25 and not archived = true",
    "metric.odd is nan or size in (1, 256)",
    "accuracy >= 50% and n = 2",
    "took < 1h and age < 1w",
    'name ~ "ZOË" or group = Zebra',
    "seed < 99999999999 and step != 3000000000",
    "parent is not none or status = failed",
    "train.lr > 0 and kind !~ EVAL",
)
SORTS = ("name", "-metric.loss,id", "train.lr", "-accuracy,group,id", "kind,-step,id")
COLUMNS = "id,kind,name,group,status,size,seed,step,model,accuracy,low,n,split,parent,tags,note"


@pytest.fixture(scope="module")
def recorded(server: Server, house: Workspace) -> Iterator[Registry]:
    """Every journal of the house, merged into a server."""
    registry = open_registry(server.new_registry())
    for folder in sorted(house.runs_dir.iterdir()):
        merge_journal(registry, folder)
    registry.note_plan("plan", "hash", "criteria: []")
    yield registry
    registry.close()


@pytest.mark.slow
def test_journals_bring_the_same_rows_to_a_server(recorded: Registry, kept: Registry) -> None:
    for name in table_names():
        if name != "plan":  # known since another moment
            assert content_of(recorded.database, name) == content_of(kept.database, name), name


def test_merging_again_changes_nothing_and_uses_up_no_keys(
    recorded: Registry, house: Workspace
) -> None:
    sql = "SELECT last_value FROM metric_name_key_seq"
    before = recorded.database.read(sql)
    with recorded.database.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET journal_bytes = 0")
    rows = {name: content_of(recorded.database, name) for name in table_names()}
    for folder in house.runs_dir.iterdir():
        merge_journal(recorded, folder)
    assert {name: content_of(recorded.database, name) for name in table_names()} == rows
    assert recorded.database.read(sql) == before


@pytest.mark.slow
def test_every_reader_gives_the_same(recorded: Registry, kept: Registry) -> None:
    for run in kept.runs():
        assert _readings(recorded, run.uuid) == _readings(kept, run.uuid)


@pytest.mark.parametrize("where", FILTERS)
def test_filters_find_the_same(recorded: Registry, kept: Registry, where: str) -> None:
    selection = Selection(where=where, sort="id", columns=COLUMNS, archived=True)
    found = kept.select_runs(selection)
    assert recorded.select_runs(selection).rows == found.rows


@pytest.mark.parametrize("sort", SORTS)
def test_lists_have_the_same_order(recorded: Registry, kept: Registry, sort: str) -> None:
    selection = Selection(sort=sort)
    assert recorded.select_runs(selection).uuids == kept.select_runs(selection).uuids


def test_rows_made_by_hand_are_filtered_the_same(url: str, tmp_path: Path) -> None:
    pairs = [open_registry(url), open_registry(f"sqlite:///{tmp_path / 'r.db'}")]
    for registry in pairs:
        fill(registry, ROWS)
    columns = "id,size,train.lr,metric.loss,metric.kl.min,accuracy,accuracy.lenient,tokens,tags"
    for sort in ("train.lr", "-train.lr,name", "metric.loss", "-metric.kl,note"):
        found = [r.select_runs(Selection(sort=sort, columns=columns)) for r in pairs]
        # SQLite has no true of its own and gives 1
        assert str(found[0].rows).replace("True", "1") == str(found[1].rows)
    for where in ("train.lr = auto", "train.lr ~ U", "train.lr = true", "name ~ GRÖSSE"):
        found = [r.select_runs(Selection(where=where)) for r in pairs]
        assert found[0].uuids == found[1].uuids
    for registry in pairs:
        registry.close()


@pytest.mark.slow
def test_every_text_is_kept_as_sqlite_keeps_it(url: str, tmp_path: Path) -> None:
    told = []
    for number, address in enumerate((url, f"sqlite:///{tmp_path / 'r.db'}")):
        registry = open_registry(address)
        told.append(_record_texts(registry, tmp_path / f"run-{number}"))
        registry.close()
    assert told[0] == told[1]
    kept = [text for text in TEXTS if text != "\ud800"]
    assert {text for text, *_ in told[0]["questions"]} >= set(kept)  # type: ignore[attr-defined]
    assert told[0]["note"] == "".join(TEXTS).replace("\ud800", "\\ud800")


def test_a_filter_looks_into_settings_and_tags_with_nul(registry: Registry) -> None:
    config = {"stop": "a\0b", "train": {"lr": 0.5}}
    registry.create_run(new_run(id="sft-a", config=config, tags=("x\0", "good")))
    registry.create_run(new_run(id="sft-b", tags=("good",)))
    for where, number in (("config.stop ~ b", 1), ("tags has good", 2), ("train.lr > 0", 2)):
        assert registry.select_runs(Selection(where=where)).total == number


def test_an_entry_that_the_server_refuses_does_not_hold_up_the_others(registry: Registry) -> None:
    run = registry.create_run(new_run())
    fine = {"uuid": "u1", "time": 1.0, "severity": "info", "kind": "x", "message": "m"}
    entries = [
        MetricsEntry(segment=0, step=2**70, time=1.0, values={"loss": 1.0}),
        EventEntry(step=1, **fine),
    ]
    with registry.database.begin() as connection:
        refused = store_entries(connection, run.uuid, entries, journal_bytes=5)
    assert len(refused) == 1
    assert [event.kind for event in registry.events(run.uuid)] == ["x"]


def test_steps_are_counted_as_far_as_in_sqlite(registry: Registry) -> None:
    run = registry.create_run(new_run())
    far = MetricsEntry(segment=0, step=2**40, time=1.0, values={"loss": 1.0})
    with registry.database.begin() as connection:
        assert store_entries(connection, run.uuid, [far], journal_bytes=5) == []
    assert registry.last_steps([run.uuid]) == {run.uuid: 2**40}


def _readings(registry: Registry, uuid: str) -> str:
    """Everything that a registry says of a run, as text, because NaN is not equal to itself."""
    run = registry.run_by_uuid(uuid)
    evaluations = [e.uuid for e in registry.evaluations([uuid])]
    return str(
        [
            registry.metrics(uuid),
            _rounded(registry.curves([uuid], points=3)[uuid]),
            sorted(registry.metric_summaries([uuid], None)[uuid].items()),
            registry.headlines([uuid]),
            registry.evaluations([uuid]),
            registry.segments(uuid),
            registry.events(uuid),
            registry.artifacts(uuid),
            registry.rollouts(uuid),
            registry.provenance(uuid),
            registry.plan_deletion(uuid),
            [r.id for r in registry.ancestors(run)],
            [r.id for r in registry.descendants(uuid)],
            registry.type_counts(evaluations, "r1_zero"),
            registry.grade_versions(evaluations, "r1_zero"),
            sorted(registry.solved_questions(uuid)),
            [_of_evaluation(registry, evaluation) for evaluation in evaluations],
            _followed(registry, uuid, evaluations),
        ]
    )


def _followed(registry: Registry, uuid: str, evaluations: list[str]) -> list[object]:
    """What a screen reads of a run; keys are each database's own."""
    database = registry.database
    names = sorted(registry.metric_summaries([uuid])[uuid])
    marks = run_marks(database, uuid)
    return [
        (marks.segments, marks.last_step, marks.evaluations[0], marks.events[0]),
        _rounded(stretches(database, uuid, names, (0, 100), 3)),
        accuracy_courses(database, [uuid]),
        [
            line._replace(key=0)
            for evaluation in evaluations
            for piece in response_lines(database, evaluation, "r1_zero")
            for line in piece
        ],
    ]


def test_a_watch_on_a_server_sees_what_anybody_writes(registry: Registry, tmp_path: Path) -> None:
    watch = RegistryWatch(registry.database)
    assert watch.changed()
    run = registry.create_run(new_run())
    assert watch.changed()
    assert not watch.changed()
    relabel(registry.database, run, tmp_path, lambda labels: replace(labels, tags=("a",)))
    assert watch.changed()
    relabel(registry.database, run, tmp_path, lambda labels: replace(labels, tags=("b",)))
    assert watch.changed()
    with Recorder(registry, run.uuid, tmp_path / run.id) as recorder:
        recorder.flush()
        watch.changed()
        recorder.metrics(1, {"loss": 1.0})
        recorder.flush()
        assert watch.changed()
    assert list(run_signs(registry.database)) == [run.uuid]


def _rounded(curves: Mapping[str, Sequence[CurvePoint | StretchPoint]]) -> list[object]:
    """Means without their last digits: the two add up in another order."""
    return [
        (name, [replace(p, value=p.value and round(p.value, 12)) for p in points])
        for name, points in curves.items()
    ]


def _of_evaluation(registry: Registry, uuid: str) -> list[object]:
    counts = [sorted(registry.counts_by_problem(uuid, o, "r1_zero").items()) for o in Outcome]
    return [
        counts,
        [(asdict(r) | {"flags": sorted(r.flags)}) for r in registry.responses(uuid)],
        sorted(registry.right_by_problem(uuid, "lenient").items()),
        sorted(registry.sampled_answers(uuid, "r1_zero").items()),
        sorted(registry.asked_problems(uuid).items()),
    ]


def _record_texts(registry: Registry, folder: Path) -> dict[str, object]:
    from core.data.problem import Problem
    from core.registry.evaluation_entries import problem_row
    from core.registry.response_writes import _problem_keys

    run = registry.create_run(new_run(id="sft-a", tags=tuple(TEXTS), name=TEXTS[3]))
    with Recorder(registry, run.uuid, folder) as recorder:
        for text in TEXTS:
            recorder.event("info", text, text, data={"text": text})
        recorder.evaluation(evaluation_result([answer(text) for text in TEXTS], truths=list(TEXTS)))
        recorder.finish("failed", TEXTS[1], TEXTS[0])
    relabel(registry.database, run, folder, lambda _: Labels(TEXTS, "".join(TEXTS)))
    with registry.database.begin() as connection:
        rows = [problem_row(Problem(text, text, text)) for text in TEXTS]
        _problem_keys(connection, "texts", rows)
    now = registry.find_run("sft-a")
    (evaluation,) = registry.evaluations([run.uuid])
    responses = registry.responses(evaluation.uuid)
    sql = "SELECT question, id, truth FROM problem WHERE data_hash = 'texts' ORDER BY key"
    return {
        "run": [now.name, now.exit_reason, registry.traceback(run.uuid), now.tags],
        "note": now.note,
        "events": [(e.kind, e.message, json.dumps(e.data)) for e in registry.events(run.uuid)],
        "questions": registry.database.read(sql),
        "found": [
            registry.database.read("SELECT id FROM problem WHERE id = :id", {"id": text})
            for text in TEXTS
            if text != "\ud800"
        ],
        "texts": [r.text for r in responses],
        "extracted": [sorted((n, g.extracted) for n, g in r.grades.items()) for r in responses],
    }
