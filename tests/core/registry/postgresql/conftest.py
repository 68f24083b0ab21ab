"""One PostgreSQL server for all tests of a process, and a registry of its own for each test."""

from collections.abc import Iterator

import pytest

from core.registry.store import Registry, open_registry
from core.workspace import Workspace, open_workspace
from tests.core.registry.lived_in import finished_run, rollout_run
from tests.core.registry.postgresql.server import CannotStartError, Server, running_server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg", reason="psycopg is not installed; install a5ctl[postgresql]")
    context = running_server()
    try:
        running = context.__enter__()
    except CannotStartError as error:
        pytest.skip(str(error))
    try:
        yield running
    finally:
        context.__exit__(None, None, None)


@pytest.fixture
def url(server: Server) -> str:
    """An empty registry."""
    return server.new_registry()


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    registry = open_registry(url)
    yield registry
    registry.close()


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with an SQLite registry that holds runs; tests must not change it."""
    workspace = open_workspace(tmp_path_factory.mktemp("postgresql") / "house")
    registry = open_registry(_file(workspace))
    first = finished_run(registry, workspace, "sft-256-aaaa", name="zoë", group="Zebra")
    finished_run(registry, workspace, "sft-256-bbbb", name="apple", parent_uuid=first.uuid)
    rollout_run(registry, workspace, "grpo-cccc")
    registry.note_plan("plan", "hash", "criteria: []")
    registry.close()
    return workspace


@pytest.fixture
def kept(house: Workspace) -> Iterator[Registry]:
    """Its registry."""
    registry = open_registry(_file(house))
    yield registry
    registry.close()


def _file(workspace: Workspace) -> str:
    return f"sqlite:///{workspace.root / 'registry.db'}"
