"""A registry on a server: how it is named and made, and what is said when it cannot be used."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import UserError
from core.registry.journal import merge_journal
from core.registry.migrations import HEAD
from core.registry.store import Registry, open_registry
from core.workspace import Workspace
from tests.core.registry.conftest import go_back, new_run
from tests.core.registry.postgresql.server import PASSWORD, Server

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_spelling_of_an_address_is_read_by_psycopg_3(
    registry: Registry, url: str, scheme: str
) -> None:
    registry.create_run(new_run(id="sft-a"))
    other = open_registry(url.replace("postgresql", scheme))
    assert [run.id for run in other.runs()] == ["sft-a"]
    other.close()


def test_a_socket_is_an_address_too(server: Server, url: str) -> None:
    login, place = f"postgresql://a5ctl:{PASSWORD}@", url.rpartition("/")[2]
    registry = open_registry(f"{login}/{place}?host={server.folder}&port={server.port}")
    assert registry.runs() == []
    assert registry.label == f"postgresql:///{place}"
    registry.close()


def test_migrations_make_exactly_the_tables_of_the_schema(registry: Registry) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from core.registry.schema import SQLModel

    with registry.database.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


@pytest.mark.slow
def test_every_revision_goes_back_and_forth_and_keeps_the_runs(url: str) -> None:
    registry = open_registry(url)
    registry.create_run(new_run(id="sft-a"))
    go_back(registry, "0001")
    registry = open_registry(url)
    assert [run.id for run in registry.runs()] == ["sft-a"]
    go_back(registry, "base")
    registry = open_registry(url)
    assert registry.runs() == []
    assert registry.database.read("SELECT version_num FROM alembic_version") == [(HEAD,)]
    registry.close()


@pytest.mark.slow
def test_a_registry_full_of_rows_is_upgraded_with_all_of_them(house: Workspace, url: str) -> None:
    registry = open_registry(url)
    run = merge_journal(registry, house.run_folder("sft-256-aaaa")).run_id
    assert run is not None
    evaluations = registry.evaluations([registry.find_run(run).uuid])
    before = [registry.responses(e.uuid) for e in evaluations]
    go_back(registry, "0004")
    registry = open_registry(url)
    evaluations = registry.evaluations([registry.find_run(run).uuid])
    assert [registry.responses(e.uuid) for e in evaluations] == before
    assert len(before) == 3
    registry.close()


@pytest.mark.slow
def test_processes_that_make_one_registry_at_once_wait_for_each_other(server: Server) -> None:
    url = server.url(server.new_database())
    code = f"from core.registry.store import open_registry; open_registry({url!r}).runs()"
    started = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(2)]
    assert [process.wait(120) for process in started] == [0, 0]


def test_text_sorts_by_code_point_as_in_sqlite(registry: Registry) -> None:
    for name in ("b", "A", "a", "ä", "Z", "_"):
        registry.create_run(new_run(name=name))
    names = registry.database.read("SELECT name FROM run ORDER BY name")
    assert [name for (name,) in names] == ["A", "Z", "_", "a", "b", "ä"]


def test_a_newer_registry_is_refused_in_one_sentence(registry: Registry, url: str) -> None:
    with registry.database.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(UserError, match=r"made by a newer a5ctl .*upgrade a5ctl"):
        open_registry(url)


def test_a_database_of_another_program_is_refused_and_left_alone(server: Server) -> None:
    name = server.new_database()
    server.sql("CREATE TABLE public.mine (x int)", name)
    with pytest.raises(UserError, match=r"tables of another program.*createdb"):
        open_registry(server.url(name))
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    assert server.sql(tables, name) == [("mine",)]


def test_a_database_that_lacks_characters_is_refused(server: Server) -> None:
    server.sql(
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc "
        "LOCALE 'C' OWNER a5ctl"
    )
    with pytest.raises(UserError, match=r"holds text as LATIN1.*--encoding UTF8"):
        open_registry(server.url("latin"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((":{port}/", ":1/"), "cannot be reached .*refused.*start its server"),
        ((PASSWORD, "wr0ng-w0rd"), "refuses the login; check user and password"),
        (("/{name}", "/nowhere"), "there is no database .*/nowhere; make it with createdb"),
        ((f":{PASSWORD}@", "@"), "refuses the login"),
    ],
)
def test_a_server_that_cannot_be_used_is_one_sentence_without_the_password(
    server: Server, url: str, change: tuple[str, str], said: str
) -> None:
    known = {"port": server.port, "name": url.rpartition("/")[2]}
    with pytest.raises(UserError, match=said) as refused:
        open_registry(url.replace(*(part.format(**known) for part in change)))
    assert "\n" not in str(refused.value)
    _no_password(refused.value)


def test_no_message_of_the_driver_brings_the_password_along(registry: Registry) -> None:
    with pytest.raises(UserError) as refused:
        registry.database.read("SELECT nothing FROM run")
    assert "cannot do that" in str(refused.value)
    _no_password(refused.value)
    assert PASSWORD not in repr(registry.database._engine)


def test_a_login_without_rights_is_told_so(server: Server, registry: Registry, url: str) -> None:
    name = url.rpartition("/")[2]
    with registry.database.begin() as connection:
        connection.exec_driver_sql("REVOKE INSERT ON run FROM a5ctl")
    with pytest.raises(UserError, match=f"/{name} does not allow this login to do that"):
        registry.create_run(new_run())


def _no_password(error: BaseException) -> None:
    import traceback

    told = "".join(traceback.format_exception(error))
    for word in (PASSWORD, "wr0ng-w0rd"):
        assert word not in told
