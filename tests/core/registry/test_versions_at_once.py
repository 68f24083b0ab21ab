"""A newer a5ctl upgrades the registry while an older one records: nothing is mixed or lost."""

from pathlib import Path

import pytest

from core.errors import UserError
from core.registry import migrate, same_version
from core.registry.migrations import HEAD, REVISIONS
from core.registry.recorder import Recorder
from core.registry.store import Registry, RunStatus, open_registry
from core.workspace import Workspace
from tests.core.registry.conftest import answer, evaluation_result, go_back

WAIT_S = 120.0
NEWER = "0999"


def test_a_run_of_an_older_version_goes_on_in_its_journal_which_the_newer_one_merges(
    registry: Registry,
    workspace: Workspace,
    run: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Recorder(registry, run, folder, interval=0.01, heartbeat=0.02) as recorder:
        recorder.metrics(1, {"loss": 1.0})
        assert recorder.flush(WAIT_S)
        _execute(registry, f"UPDATE alembic_version SET version_num = '{NEWER}'")
        before = _everything(registry)
        recorder.metrics(2, {"loss": 2.0})
        recorder.evaluation(evaluation_result([answer(42)], step=2))
        assert recorder.flush(WAIT_S) is False
        assert (recorder.problem or "").endswith("the journal goes on")
        assert f"upgraded by a newer a5ctl (schema {NEWER}" in (recorder.problem or "")
        with pytest.raises(UserError, match="made by a newer a5ctl"):
            open_registry(registry.database.url)
    assert _everything(registry) == before, "not a byte of an older version came in"

    for module in (migrate, same_version):
        monkeypatch.setattr(module, "REVISIONS", (*REVISIONS, NEWER))
        monkeypatch.setattr(module, "HEAD", NEWER)
    newer = open_registry(registry.database.url)
    _execute(newer, "UPDATE run SET pid = 0")
    assert newer.merge_left_behind(workspace) == ["sft-256-test"]
    assert [point.value for point in newer.metrics(run)["loss"]] == [1.0, 2.0]
    assert [found.step for found in newer.evaluations([run])] == [2]
    assert newer.run_by_uuid(run).status is RunStatus.FINISHED
    told = [event.message for event in newer.events(run)]
    assert len(told) == 1, "once, not at every attempt"
    assert "upgraded by a newer a5ctl" in told[0]


def test_an_older_file_that_is_put_in_place_is_upgraded_before_anything_is_written(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder, interval=0.01) as recorder:
        recorder.metrics(1, {"loss": 1.0})
        assert recorder.flush(WAIT_S)
        go_back(open_registry(registry.database.url), REVISIONS[-2])
        recorder.metrics(2, {"loss": 2.0})
        assert recorder.flush(WAIT_S)
        assert recorder.problem is None
    assert migrate.schema_version(registry.database) == HEAD
    assert [point.value for point in registry.metrics(run)["loss"]] == [1.0, 2.0]


def _execute(registry: Registry, sql: str) -> None:
    with registry.database.begin() as connection:
        connection.exec_driver_sql(sql)


def _everything(registry: Registry) -> dict[str, list[tuple[object, ...]]]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table'"
    tables = [row[0] for row in registry.database.read(query)]
    return {table: registry.database.read(f'SELECT * FROM "{table}"') for table in tables}
