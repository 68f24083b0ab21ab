"""What many responses share is stored once, and every grade reads as it was written."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.registry.entries import GradeRow
from core.registry.recorder import Recorder
from core.registry.store import Registry, open_registry
from core.registry.verdict_sets import Ending, Folded, Noted, add_grades, fold, unfold
from core.workspace import Workspace
from tests.core.registry.conftest import answer, evaluation_result, go_back, new_run

_FRESH = count(1)
GRADERS = ("diagnostic", "lenient", "r1_zero", "strict")
EXTRACTED = (
    st.none()
    | st.sampled_from(["42", " 42 ", "  42", "7", "", " ", "a\0b \0", "\uf8f00"])
    | st.text('42 \x00é"', max_size=5)
)


@st.composite
def grades(draw: st.DrawFn) -> list[GradeRow]:
    """Grades of one response, at most one of each grader and version."""
    keys = st.tuples(st.sampled_from(GRADERS), st.integers(1, 2))
    return [
        GradeRow(
            grader=grader,
            version=version,
            formatted=draw(st.booleans()),
            right=draw(st.booleans()),
            extracted=draw(EXTRACTED),
            failure=draw(st.sampled_from([None, "wrong_number", "unclosed_answer"])),
        )
        for grader, version in draw(st.lists(keys, unique=True, max_size=6))
    ]


endings = st.builds(
    Ending,
    finish=st.sampled_from(["eos", "length"]),
    closed=st.booleans(),
    unparseable=st.none() | st.booleans(),
    flags=st.sampled_from(["", "template_copy", "a,b"]),
)


@pytest.mark.slow
@given(endings, grades())
def test_what_is_noted_survives_folding(ending: Ending, rows: list[GradeRow]) -> None:
    back = unfold(fold(Noted(ending, rows)))
    assert back.ending == ending
    assert back.grades == sorted(rows, key=lambda row: (row.grader, row.version))


@pytest.mark.slow
@given(endings, grades(), st.randoms(use_true_random=False))
def test_the_order_of_grades_makes_no_other_set(
    ending: Ending, rows: list[GradeRow], random: Any
) -> None:
    mixed = list(rows)
    random.shuffle(mixed)
    assert fold(Noted(ending, mixed)).text == fold(Noted(ending, rows)).text


def test_an_answer_and_the_same_without_spaces_are_stored_once() -> None:
    rows = [_row("lenient", "42"), _row("r1_zero", " 42 "), _row("strict", " 42 ")]
    folded = fold(Noted(Ending("eos", True, False, ""), rows))
    assert (folded.extracted, folded.also_extracted) == (" 42 ", None)
    third = fold(Noted(Ending("eos", True, False, ""), [*rows, _row("diagnostic", "7")]))
    assert third.also_extracted == '["7"]'


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=grades(), more=grades())
def test_the_view_reads_what_was_added(
    recorded: Registry, rows: list[GradeRow], more: list[GradeRow]
) -> None:
    key = next(_FRESH)  # every example has a response of its own
    before = _stored(recorded, key)
    with recorded.database.begin() as connection:
        add_grades(connection, {key: rows})
        add_grades(connection, {key: more})
    expected = {(row.grader, row.version): row for row in [*more, *rows, *before]}
    assert {(row.grader, row.version): row for row in _stored(recorded, key)} == expected
    newest = {grader: max(v for g, v in expected if g == grader) for grader, _ in expected}
    sql = "SELECT grader, version FROM grade WHERE response = :key AND newest"
    assert dict(recorded.database.read(sql, {"key": key})) == newest


def test_equal_responses_share_a_set(recorded: Registry) -> None:
    sets = recorded.database.read("SELECT DISTINCT verdict_set FROM answer WHERE key <= 20")
    assert len(sets) == 1
    (stored,) = recorded.database.read("SELECT text FROM verdict_set WHERE key = :k", {"k": 1})
    assert unfold(Folded(stored[0], " 42 ", None)).ending.finish == "stop_string"


@pytest.mark.slow
def test_a_migration_keeps_every_response_and_grade(recorded: Registry) -> None:
    texts = _texts(recorded)
    url, names = (
        recorded.database.url,
        "finish, closed, unparseable, flags, tokens, problem, sample",
    )
    before = _rows(recorded, f"SELECT key, evaluation, batch, {names} FROM response")
    graded = 'response, grader, version, formatted, "right", failure, extracted'
    grades_before = _rows(recorded, f"SELECT {graded} FROM grade")
    go_back(recorded, "0005")
    with closing(sqlite3.connect(str(recorded.database.path))) as old:
        kinds = dict(old.execute("SELECT name, type FROM sqlite_master").fetchall())
        assert (kinds["response"], kinds["grade"]) == ("table", "table")
        assert {row[0] for row in old.execute("SELECT substr(text, 1, 1) FROM response")} <= {
            b"\x00",
            b"\x01",
        }, "texts that an older tool reads"
        in_old = sorted(old.execute(f"SELECT {graded} FROM grade").fetchall(), key=repr)
    assert in_old == grades_before
    upgraded = open_registry(url)
    assert _rows(upgraded, f"SELECT key, evaluation, batch, {names} FROM response") == before
    assert _rows(upgraded, f"SELECT {graded} FROM grade") == grades_before
    assert _texts(upgraded) == texts


@pytest.fixture
def recorded(registry: Registry, workspace: Workspace) -> Registry:
    """Enough responses of one run for a dictionary, some of them right."""
    texts = [answer(42)] * 20 + [f" {n} is not {n + 1} because of {n * 7}" for n in range(400)]
    run = registry.create_run(new_run(id="sft-1"))
    with Recorder(registry, run.uuid, workspace.run_folder(run.id)) as recorder:
        recorder.evaluation(evaluation_result(texts, step=1))
    assert registry.database.read("SELECT COUNT(*) FROM text_dictionary") == [(1,)]
    return registry


def _row(grader: str, extracted: str | None) -> GradeRow:
    return GradeRow(
        grader=grader, version=1, formatted=True, right=True, extracted=extracted, failure=None
    )


def _stored(registry: Registry, key: int) -> list[GradeRow]:
    names = ("grader", "version", "formatted", "right", "extracted", "failure")
    columns = ", ".join(f'"{name}"' for name in names)
    sql = f"SELECT {columns} FROM grade WHERE response = :key"
    rows = registry.database.read(sql, {"key": key})
    return [GradeRow(**dict(zip(names, row, strict=True))) for row in rows]


def _rows(registry: Registry, sql: str) -> Sequence[tuple[Any, ...]]:
    return sorted(registry.database.read(sql), key=repr)


def _texts(registry: Registry) -> list[str]:
    (run,) = registry.runs()
    (evaluation,) = registry.evaluations([run.uuid])
    return [row.text for row in registry.responses(evaluation.uuid)]
