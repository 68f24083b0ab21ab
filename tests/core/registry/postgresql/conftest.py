"""One PostgreSQL server for all tests of a process, and a registry of its own for each test."""

from collections.abc import Iterator

import pytest

from core.registry.store import Registry, open_registry
from tests.core.registry.postgresql.server import CannotStartError, Server, running_server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg", reason="psycopg is not installed; install a5ctl[postgresql]")
    try:
        context = running_server()
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
