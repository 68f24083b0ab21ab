"""Plans in the registry, and the migration that brought them."""

from pathlib import Path

import pytest

from core.errors import UserError
from core.registry.migrations import HEAD
from core.registry.plans import PLANS_NAME, journaled_plans, plan_versions
from core.registry.store import Registry, open_registry
from core.workspace import Workspace
from tests.core.registry.conftest import go_back


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return open_registry(f"sqlite:///{tmp_path / 'r.db'}")


def test_a_plan_keeps_the_time_it_was_first_seen(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("core.registry.plans.time.time", lambda: 100.0)
    (first,) = registry.note_plan("sizes", "aaaa", "text")
    monkeypatch.setattr("core.registry.plans.time.time", lambda: 200.0)
    assert registry.note_plan("sizes", "aaaa", "the same content, other comments") == [first]
    assert (first.first_seen, first.text) == (100.0, "text")


def test_every_version_stays_oldest_first(registry: Registry, monkeypatch: pytest.MonkeyPatch):
    for time, digest in ((100.0, "aaaa"), (200.0, "bbbb")):
        monkeypatch.setattr("core.registry.plans.time.time", lambda time=time: time)
        versions = registry.note_plan("sizes", digest, digest)
    assert [(v.hash, v.first_seen) for v in versions] == [("aaaa", 100.0), ("bbbb", 200.0)]
    assert [v.hash for v in registry.note_plan("other", "aaaa", "text")] == ["aaaa"]


def test_the_workspace_knows_since_when_even_without_the_registry(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    workspace = Workspace(tmp_path)
    monkeypatch.setattr("core.registry.plans.time.time", lambda: 100.0)
    (first,) = registry.note_plan("sizes", "aaaa", "text \ud83d", workspace)
    other = open_registry(f"sqlite:///{tmp_path / 'other.db'}")
    monkeypatch.setattr("core.registry.plans.time.time", lambda: 200.0)
    assert other.note_plan("sizes", "aaaa", "text", workspace) == [first]
    assert journaled_plans(workspace) == ([first], 0)


def test_a_damaged_line_of_the_plans_costs_only_itself(registry: Registry, tmp_path: Path):
    workspace = Workspace(tmp_path)
    (tmp_path / PLANS_NAME).write_bytes(b'{"name": "x"}\n{"name": "torn')
    registry.note_plan("sizes", "aaaa", "text", workspace)
    found, damaged = journaled_plans(workspace)
    assert ([plan.name for plan in found], damaged) == (["sizes"], 1)


def test_plans_that_cannot_be_written_are_not_noted_at_all(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.registry.plans.append_lines", full)
    with pytest.raises(UserError, match=r"No space left on device.*was not noted"):
        registry.note_plan("sizes", "aaaa", "text", Workspace(tmp_path))
    assert plan_versions(registry.database, "sizes") == []


def test_a_registry_without_plans_is_upgraded_and_keeps_what_it_holds(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'r.db'}"
    registry = open_registry(url)
    with registry.database.begin() as connection:
        connection.exec_driver_sql("INSERT INTO metric_name (name) VALUES ('loss')")
    go_back(registry, "0001")
    assert registry.database.read("SELECT version_num FROM alembic_version") == [("0001",)]
    upgraded = open_registry(url)
    assert upgraded.database.read("SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert upgraded.database.read("SELECT name FROM metric_name") == [("loss",)]
    assert upgraded.note_plan("sizes", "aaaa", "text")[0].name == "sizes"
