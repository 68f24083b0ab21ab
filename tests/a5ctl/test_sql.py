"""SQL from people: it reads, and does nothing else."""

import csv
import io
import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from a5ctl.app import app
from core.errors import UserError
from core.registry.database import Database
from core.registry.query.sql import select_sql
from tests.a5ctl.handmade import evaluation, record, right, wrong
from tests.core.registry.query.conftest import ROWS, registry_of

ENDLESS = "with recursive n(x) as (select 1 union all select x + 1 from n) select count(*) from n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asked")
    registry_of(folder, ROWS).close()
    record(folder, "sft-9", [evaluation([right(10), wrong(11)])])
    return folder


def call(home: Path, *arguments: str, columns: int | None = 100) -> Result:
    environment = {"COLUMNS": str(columns) if columns else None, "NO_COLOR": "1"}
    runner = CliRunner(env={**environment, "A5CTL_HOME": str(home)})
    return runner.invoke(app, ["sql", *arguments])


def test_a_table_has_the_names_and_the_rows(home: Path) -> None:
    lines = call(home, "select id, size from run where size > 500 order by id").output.splitlines()
    assert [line.split() for line in lines] == [["id", "size"], ["d", "512"], ["e", "512"],
                                                ["h", "1024"]]  # fmt: skip


def test_json_holds_every_row_and_names_doubles_apart(home: Path) -> None:
    result = call(
        home, "select id, seed as id, 9e999 as big, x'00ff' from run where id='a'", "--json"
    )
    (row,) = json.loads(result.stdout)
    assert row == {"id": "a", "id_2": 0, "big": "inf", "x'00ff'": "00ff"}
    assert json.loads(call(home, "select 1 from run where 0", "--json").stdout) == []


def test_csv_can_be_read_back_and_begins_no_formula(home: Path) -> None:
    result = call(home, "select '=1+1' as a, 'x,\"y' as b, -5 as c", "--csv")
    assert list(csv.reader(io.StringIO(result.stdout))) == [
        ["a", "b", "c"],
        ["'=1+1", 'x,"y', "-5"],
    ]


def test_the_text_of_responses_can_be_read(home: Path) -> None:
    asked = "select decoded(text) as text, decoded(3) as none from response order by key"
    rows = json.loads(call(home, asked, "--json").stdout)
    assert [row["text"] for row in rows] == [right(10)[0], wrong(11)[0]]
    assert rows[0]["none"] is None


def test_json_columns_and_the_tables_themselves_can_be_asked(home: Path) -> None:
    asked = "select value from run, json_each(run.tags) where run.id = 'a'"
    assert json.loads(call(home, asked, "--json").stdout) == [{"value": "good"}]
    asked = "select count(*) as n from pragma_table_info('segment')"
    assert json.loads(call(home, asked, "--json").stdout) == [{"n": 4}]


def test_hostile_text_stays_text(home: Path) -> None:
    asked = "select char(27) || '[31m[bold]x' as \"a[red]\" union all select cast(x'ff' as text)"
    output = call(home, asked).output
    assert "\x1b" not in output
    assert "\\x1b[31m[bold]x" in output
    assert "a[red]" in output
    assert "\x1b" not in call(home, asked, "--json").stdout


@pytest.mark.parametrize(
    "statement",
    [
        "delete from run",
        "update run set note = 'x'",
        "insert into plan values (1, 'a', 'b', 0, 'c')",
        "drop table run",
        "create table mine (x)",
        "create temp table mine (x)",
        "pragma journal_mode = delete",
        "pragma user_version",
        "attach database 'other.db' as other",
        "vacuum into 'copy.db'",
        "begin immediate",
        "select load_extension('x')",
        "reindex",
        "update sqlite_master set sql = 'x'",
    ],
)
def test_what_would_do_more_than_read_is_refused(
    home: Path, statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = (home / "registry.db").read_bytes()
    result = call(home, statement)
    assert result.exit_code == 2
    assert "only reads" in result.output or "may not be modified" in result.output
    assert (home / "registry.db").read_bytes() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("select 1; select 2", "more than one statement"),
        ("select 1; delete from run", "more than one statement"),
        ("", "the statement is empty"),
        ("/* nothing */", "the statement is empty"),
        ("select * from runs", "there is no table runs; did you mean run?"),
        ("select sise from run", "there is no column sise; did you mean size"),
        ("selec 1", "cannot be run"),
        ("select \0", "cannot be run"),
        ("select zeroblob(1000000000)", "cannot be run"),
    ],
)
def test_a_mistake_is_one_sentence(home: Path, statement: str, message: str) -> None:
    result = call(home, statement)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_a_statement_stops_when_its_time_is_up(home: Path) -> None:
    result = call(home, ENDLESS, "--timeout", "0.05")
    assert result.exit_code == 2
    assert "took longer than 0.05 seconds" in " ".join(result.output.split())


def test_rows_are_read_as_they_are_taken(home: Path) -> None:
    endless = ENDLESS.replace("count(*)", "x")
    database = Database(f"sqlite:///{home / 'registry.db'}")
    with select_sql(database, endless, 30.0) as found:
        assert [next(found.rows) for _ in range(1000)] == [(n,) for n in range(1, 1001)]
    lines = call(home, endless).output.splitlines()
    assert len(lines) == 202
    assert lines[-1].startswith("there are more rows")


def test_a_missing_registry_is_named_and_not_made(tmp_path: Path) -> None:
    result = call(tmp_path, "select 1")
    assert result.exit_code == 2
    assert "there is no registry" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_server_is_left_to_its_own_program() -> None:
    server = Database("postgresql://localhost/x")
    with pytest.raises(UserError, match="psql"), select_sql(server, "select 1", 1.0):
        pass


def test_a_registry_is_read_while_it_is_written(home: Path) -> None:
    writer = sqlite3.connect(home / "registry.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    try:
        assert call(home, "select count(*) from run").exit_code == 0
    finally:
        writer.execute("ROLLBACK")
        writer.close()
