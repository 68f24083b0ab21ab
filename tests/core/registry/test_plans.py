"""Plans in the registry, and the migration that brought them."""

from pathlib import Path

import pytest

from core.registry.migrations import HEAD
from core.registry.store import Registry, open_registry
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
