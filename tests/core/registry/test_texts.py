"""Texts come back as they were, whatever they were compressed with."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.registry.codec import RAW, compress_text
from core.registry.content import rows_of
from core.registry.rebuild import rebuild
from core.registry.recorder import Recorder
from core.registry.store import Registry, RunRecord
from core.registry.texts import (
    WITH_DICTIONARY,
    Dictionary,
    TextReader,
    TextWriter,
    pack_dictionary,
)
from core.workspace import Workspace
from tests.core.registry.conftest import evaluation_result, new_run

CONTENT = "".join(f" so {n} + {n} = {2 * n} </think> <answer> {2 * n} </answer>" for n in range(99))
DICTIONARY = Dictionary(7, pack_dictionary(CONTENT.encode()))
WRITER = TextWriter(DICTIONARY.id, DICTIONARY.content)
READER = TextReader({7: DICTIONARY}.get)


@given(st.text(st.characters()) | st.integers(0, 90).map(lambda n: CONTENT[n : 2 * n]))
def test_any_text_survives(text: str) -> None:
    assert READER.text(WRITER.compress_text(text)) == text
    assert READER.text(compress_text(text)) == text, "as older versions wrote it"


def test_a_response_like_others_takes_a_tenth() -> None:
    text = " so 41 + 41 = 82 </think> <answer> 82 </answer> so 17 + 17 = 34" * 4
    assert len(WRITER.compress_text(text)) < len(compress_text(text)) < len(text)
    assert len(WRITER.compress_text(CONTENT[:300])) < 30
    assert WRITER.compress_text("?")[:1] == RAW


def test_what_cannot_be_read_is_said() -> None:
    stored = WRITER.compress_text(CONTENT)
    with pytest.raises(ValueError, match="newer a5ctl"):
        READER.text(b"\x03" + stored)
    with pytest.raises(ValueError, match=r"dictionary 7 .* is gone"):
        TextReader(lambda _: None).text(stored)
    with pytest.raises(ValueError, match="text is damaged"):
        READER.text(stored[:-2])
    with pytest.raises(ValueError, match="dictionary 7 is damaged"):
        TextReader(lambda _: Dictionary(7, DICTIONARY.packed[:-3])).text(stored)


@pytest.mark.slow
def test_a_run_goes_on_with_its_dictionary_until_its_responses_are_others(
    registry: Registry, workspace: Workspace
) -> None:
    said = "and then {n} was said to be {m}, which is {k} </think> <answer> {m} </answer>"
    other = "<<{k}>> {m}-{n}: wholly other words, such as nobody wrote before {m} {k} of them"
    run = record(registry, workspace, "sft-1", said, said, other, other)
    assert of_run(registry, run) == 2
    marks = registry.database.read("SELECT DISTINCT substr(text, 1, 5) FROM answer")
    assert {row[0][:1] for row in marks} == {WITH_DICTIONARY}
    assert len(marks) == 2
    for evaluation in registry.evaluations([run.uuid]):
        rows = registry.responses(evaluation.uuid)
        assert [row.text for row in rows] == texts((said, said, other, other)[evaluation.step])


def test_few_responses_do_without_a_dictionary(registry: Registry, workspace: Workspace) -> None:
    run = registry.create_run(new_run(id="sft-1"))
    with Recorder(registry, run.uuid, workspace.run_folder(run.id)) as recorder:
        recorder.evaluation(evaluation_result([CONTENT[:900]] * 3))
    assert of_run(registry, run) == 0


def test_dictionaries_go_with_their_run_and_with_no_other(
    registry: Registry, workspace: Workspace
) -> None:
    said = "the same {n} in both runs, to the letter: {m} and {k}"
    first = record(registry, workspace, "sft-1", said)
    second = record(registry, workspace, "sft-2", said)
    registry.delete_run(first.uuid)
    assert registry.database.read("SELECT run FROM text_dictionary") == [(second.key,)]
    (evaluation,) = registry.evaluations([second.uuid])
    assert [row.text for row in registry.responses(evaluation.uuid)] == texts(said)


@pytest.mark.slow
def test_a_rebuilt_registry_says_the_same(registry: Registry, workspace: Workspace) -> None:
    said = "a rebuilt registry says {n} and {m} and {k}"
    run = record(registry, workspace, "sft-1", said, said)
    # compressed otherwise, as another version might: it still reads the same
    with registry.database.begin() as connection:
        rows = connection.exec_driver_sql("SELECT key FROM answer").scalars().all()
        plain = texts(said) * 2
        for key, text in list(zip(rows, plain, strict=True))[::3]:
            connection.exec_driver_sql(
                "UPDATE answer SET text = ? WHERE key = ?", (compress_text(text), key)
            )
    before = answers(registry)
    path = registry.database.path
    assert path is not None
    path.unlink()
    rebuild(registry.database, path, workspace, force=False)
    assert answers(registry) == before
    assert of_run(registry, registry.find_run(run.id)) == 1


def test_texts_are_read_in_sql(registry: Registry, workspace: Workspace) -> None:
    from core.registry.query.sql import select_sql

    record(registry, workspace, "sft-1", "for sql: {n}, {m} and {k} </think>")
    with select_sql(registry.database, "SELECT decoded(text) FROM response", 10) as found:
        assert [row[0] for row in found.rows] == texts("for sql: {n}, {m} and {k} </think>")


def record(registry: Registry, workspace: Workspace, run_id: str, *patterns: str) -> RunRecord:
    """A run with an evaluation of 200 responses in each of these manners."""
    run = registry.create_run(new_run(id=run_id))
    with Recorder(registry, run.uuid, workspace.run_folder(run_id)) as recorder:
        for step, pattern in enumerate(patterns):
            recorder.evaluation(evaluation_result(texts(pattern), step=step))
            assert recorder.flush(60)
    return registry.run_by_uuid(run.uuid)


def texts(pattern: str) -> list[str]:
    return [pattern.format(n=n, m=n * 37 % 1000, k=n * n % 977) for n in range(200)]


def of_run(registry: Registry, run: RunRecord) -> int:
    rows = registry.database.read("SELECT run FROM text_dictionary")
    return [row[0] for row in rows].count(run.key)


def answers(registry: Registry) -> list[str]:
    """Every response as `core.registry.content` compares it."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(Path(str(registry.database.path)))) as connection:
        return [json.dumps(row) for row in rows_of(connection, "answer")]
