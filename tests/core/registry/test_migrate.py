"""The tables: made from nothing, upgraded under a lock, and never touched by an older tool."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import UserError
from core.registry.migrations import HEAD, REVISIONS
from core.registry.store import open_registry
from tests.core.registry.conftest import go_back

ROOT = Path(__file__).parents[3]


def test_migrations_make_exactly_the_tables_of_the_schema(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine

    from core.registry.schema import SQLModel

    open_registry(_url(tmp_path))
    with create_engine(_url(tmp_path)).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_the_views_have_the_columns_that_are_documented(tmp_path: Path) -> None:
    from core.registry.views import VIEWS

    registry = open_registry(_url(tmp_path))
    made = registry.database.read("SELECT name FROM sqlite_master WHERE type = 'view'")
    assert {name for (name,) in made} == set(VIEWS)
    for name, view in VIEWS.items():
        sql = "SELECT name FROM pragma_table_info(:view)"
        assert tuple(row[0] for row in registry.database.read(sql, {"view": name})) == view.columns


def test_the_listed_revisions_are_those_alembic_finds() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "core.registry:migrations")
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    found = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(found)) == REVISIONS
    assert scripts.get_current_head() == HEAD


def test_the_file_is_set_up_for_many_readers_and_strict_references(tmp_path: Path) -> None:
    registry = open_registry(_url(tmp_path))
    assert registry.database.read("PRAGMA journal_mode") == [("wal",)]
    with registry.database.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
    (made,) = registry.database.read("SELECT sql FROM sqlite_master WHERE name = 'metric'")
    assert made[0].rstrip().endswith("WITHOUT ROWID")
    assert "PRIMARY KEY (run, name, segment, step)" in made[0]


def test_a_newer_registry_is_refused_in_one_sentence(tmp_path: Path) -> None:
    registry = open_registry(_url(tmp_path))
    registry.close()
    _execute(tmp_path, "UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(UserError, match=r"made by a newer a5ctl .*upgrade a5ctl"):
        open_registry(_url(tmp_path))
    assert "0999" in _execute(tmp_path, "SELECT version_num FROM alembic_version")


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    _execute(tmp_path, "CREATE TABLE mine (x)")
    before = (tmp_path / "r.db").read_bytes()
    with pytest.raises(UserError, match="SQLite file of another program"):
        open_registry(_url(tmp_path))
    assert (tmp_path / "r.db").read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.db").write_text("these are my notes, not a database" * 100)
    with pytest.raises(UserError, match="no SQLite file"):
        open_registry(_url(tmp_path))


def test_a_registry_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be made"):
        open_registry(f"sqlite:///{tmp_path}/nowhere/r.db")


def test_a_creation_that_was_killed_half_way_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "r.db").touch()
    assert open_registry(_url(tmp_path)).runs() == []


def test_opening_an_up_to_date_registry_imports_neither_alembic_nor_sqlalchemy(
    tmp_path: Path,
) -> None:
    open_registry(_url(tmp_path))
    code = (
        "import sys; from core.registry.store import open_registry;"
        f"r = open_registry({_url(tmp_path)!r}); r.runs(); r.headlines([]);"
        "print(sorted({'alembic', 'sqlalchemy', 'sqlmodel', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_four_processes_may_create_one_registry_at_once(tmp_path: Path) -> None:
    code = (
        f"from core.registry.store import open_registry; open_registry({_url(tmp_path)!r}).runs()"
    )
    started = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(4)]
    assert [process.wait(120) for process in started] == [0, 0, 0, 0]
    assert open_registry(_url(tmp_path)).runs() == []


def test_going_back_leaves_no_table(tmp_path: Path) -> None:
    registry = open_registry(_url(tmp_path))
    go_back(registry, "base")
    tables = registry.database.read("SELECT name FROM sqlite_master WHERE type = 'table'")
    assert tables == [("alembic_version",)]


def _url(folder: Path) -> str:
    return f"sqlite:///{folder / 'r.db'}"


def _execute(folder: Path, sql: str) -> str:
    connection = sqlite3.connect(folder / "r.db")
    with connection:
        found = connection.execute(sql).fetchall()
    connection.close()
    return str(found)
