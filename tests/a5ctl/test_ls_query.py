"""The list of runs under a filter, in an order, with chosen columns, and without the archive."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from a5ctl.app import app
from core.registry.store import Registry
from tests.core.registry.query.conftest import HOSTILE, ROWS, Row, quoted, registry_of


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listed")
    registry_of(folder, ROWS).close()
    return folder


def call(home: Path, *arguments: str, columns: int | None = 100) -> Result:
    environment = {"COLUMNS": str(columns) if columns else None, "NO_COLOR": "1"}
    runner = CliRunner(env={**environment, "A5CTL_HOME": str(home)})
    return runner.invoke(app, list(arguments))


def ids(home: Path, *arguments: str) -> list[str]:
    result = call(home, "ls", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [run["id"] for run in json.loads(result.stdout)]


def test_a_filter_chooses_and_the_newest_come_first(home: Path) -> None:
    assert ids(home, "--where", "size >= 256 and kind = sft") == ["b", "e", "g"]
    assert ids(home, "--where", "accuracy > 0.3") == ["d", "f"]


def test_what_is_missing_comes_last_whichever_way_the_rest_is_sorted(home: Path) -> None:
    assert ids(home, "--sort", "accuracy") == ["c", "a", "i", "d", "f", "b", "e", "g"]
    expected = ["f", "d", "i", "a", "c", "b", "g", "e"]
    assert ids(home, "--sort", "-accuracy,size") == expected


def test_settings_sort_as_numbers_then_texts(home: Path) -> None:
    assert ids(home, "--sort", "-train.lr")[:3] == ["c", "a", "b"]


def test_a_limit_keeps_the_first_and_counts_the_rest(home: Path) -> None:
    assert ids(home, "--sort", "-accuracy", "--limit", "2") == ["f", "d"]
    shown = call(home, "ls", "--columns", "id,accuracy", "--limit", "2").output
    assert "6 more runs not shown" in shown
    assert "6 older runs not shown" in call(home, "ls", "--limit", "2").output


def test_a_run_with_damaged_settings_is_named_and_the_others_are_listed(
    home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home, tmp_path / "copy")
    with closing(sqlite3.connect(tmp_path / "copy" / "registry.db")) as connection:
        connection.execute("UPDATE run SET config = '{oops' WHERE id = 'b'")
        connection.commit()
    for options in (("--sort", "-train.lr"), ("--columns", "id,train.lr")):
        result = call(tmp_path / "copy", "ls", "--json", *options)
        assert result.exit_code == 0, result.output
        listed = [run["id"] for run in json.loads(result.stdout)]
        assert sorted(listed) == [run for run in sorted(ids(home)) if run != "b"]
        assert "settings cannot be read: b;" in " ".join(result.stderr.split())
    shown = call(tmp_path / "copy", "show", "b")
    assert (shown.exit_code, "settings of run b cannot be read" in shown.stderr) == (2, True)


@pytest.mark.slow
def test_archived_runs_are_listed_only_when_asked_for(home: Path) -> None:
    assert "h" not in ids(home)
    assert "h" in ids(home, "--archived")
    assert ids(home, "--where", "archived = true") == ["h"]
    assert ids(home, "--where", "size = 1024") == []
    assert ids(home, "--where", "size = 1024", "--archived") == ["h"]


def test_options_and_filter_hold_together(home: Path) -> None:
    chosen = ("--where", "size = 512 or size is none", "--kind", "grpo", "--status", "finished")
    assert ids(home, *chosen) == ["d", "f"]
    assert ids(home, "--status", "failed", "--where", "size > 0") == []


def test_columns_are_those_asked_for_in_that_order(home: Path) -> None:
    fields = "id,train.lr,metric.loss,accuracy,tags,archived"
    result = call(home, "ls", "--columns", fields, "--json")
    rows = {row["id"]: row for row in json.loads(result.stdout)}
    assert list(rows["a"]) == fields.split(",")
    assert list(rows["a"].values()) == ["a", 1e-4, None, 0.3, ["good"], False]
    assert rows["d"]["metric.loss"] == "nan"
    assert rows["i"]["train.lr"] == [1, "x"]
    table = call(home, "ls", "--columns", fields, "--where", "id = a").output.splitlines()
    assert table[0].split() == ["id", "train.lr", "accuracy", "tags", "archived"]
    assert table[1].split() == ["a", "0.0001", "30.0%", "good", "no"]
    assert "no run listed has: metric.loss" in table[2]


@pytest.mark.parametrize("columns", [40, 80, 140])
def test_lines_fit_and_what_is_hidden_is_named(home: Path, columns: int) -> None:
    fields = "id,kind,name,size,seed,note,tags,accuracy,created,age,status,data"
    output = call(home, "ls", "--columns", fields, columns=columns).output
    rows = output.splitlines()[: len(ROWS)]
    assert all(cell_len(row) <= columns for row in rows)
    assert ("hidden at this width" in " ".join(output.split())) == (columns < 140)


def test_a_pipe_gets_whole_lines_and_hostile_text_stays_text(home: Path) -> None:
    output = call(home, "ls", "--columns", "id,name,tags", columns=None).output
    (line,) = [line for line in output.splitlines() if line.startswith("b ")]
    assert line.count(HOSTILE) == 2
    assert ids(home, "--where", f"name = {quoted(HOSTILE)}") == ["b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--where", "sise > 3"), "'sise' at character 1 of the filter is no field; did you mean"),
        (("--where", "kind = sft size > 3"), "has 'size' at character 12 where and, or"),
        (("--where", "metric.los > 3"), "did you mean metric.loss"),
        (("--where", "metric.loss.mean > 3"), "there are .last, .min, .max, .step"),
        (("--where", "accuracy.lenientt > 3"), "did you mean accuracy.lenient"),
        (("--where", "train.lrr > 3"), "did you mean train.lr"),
        (("--where", "size > big"), "compared with 'big' at character 8"),
        (("--where", "unclosed > 0.3"), "is a part of them; unclosed_share has the parts"),
        (("--where", "truncated > 30%"), "is a part of them; truncated_share has the parts"),
        (("--where", "age > 3"), "a length of time with its unit"),
        (("--where", "created > yesterday"), "a date or time (UTC)"),
        (("--where", "kind > sft"), "cannot be compared with >"),
        (("--where", "tags = good"), "use has, ~, !~"),
        (("--where", "name = 'open"), "the quote at character 8 of the filter is not closed"),
        (("--where", "group = none"), "write is none"),
        (("--where", "(size > 3"), "has the end at character 10 where ) is expected"),
        (("--where", ""), "the filter is empty"),
        (("--where", "size > 3 adn kind = sft"), "did you mean and?"),
        (("--where", "(" * 60), "nested more than 50 deep"),
        (("--sort", "-acuracy"), "did you mean accuracy"),
        (("--sort", "tags"), "cannot be sorted by tags"),
        (("--columns", "id,,size"), "has an empty name"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_and_a_way_out(
    home: Path, arguments: tuple[str, str], message: str
) -> None:
    result = call(home, "ls", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


@pytest.mark.parametrize("runs", [1, 40])
def test_a_listing_costs_the_same_queries_however_many_runs_there_are(
    tmp_path: Path, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.registry.query.request import Selection

    registry = registry_of(
        tmp_path, [Row(f"run-{n}", size=n, metrics={"loss": 0.5}) for n in range(runs)]
    )
    asked: list[str] = []
    read = registry.database.read
    monkeypatch.setattr(registry.database, "read", lambda *a: asked.append(a[0]) or read(*a))
    where = "size >= 0 and metric.loss < 1 and status = finished"
    assert registry.select_runs(Selection(where=where)).total == runs
    assert len(asked) == 3  # names of metrics, runs that may be stale, the listing
    assert not any("FROM metric " in sql for sql in asked)


def test_many_runs_are_described_in_single_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row(f"run-{n}", accuracy=0.5) for n in range(502)]
    registry: Registry = registry_of(tmp_path, rows)
    asked: list[str] = []
    read = registry.database.read
    monkeypatch.setattr(registry.database, "read", lambda *a: asked.append(a[0]) or read(*a))
    uuids = [f"uuid-run-{n}" for n in range(501)]
    assert len(registry.headlines(uuids)) >= 501
    assert [run.uuid for run in registry.runs_by_uuid(uuids)] == uuids
    assert registry.last_steps(uuids) == {}
    assert set(registry.metric_summaries(uuids)) == set(uuids)
    assert len(asked) == 4
