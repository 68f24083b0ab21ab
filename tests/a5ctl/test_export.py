"""`a5ctl export responses`: whole files, safe cells, and the way back through `a5ctl grade`."""

import csv
import json
import os
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest
from typer.testing import Result

import a5ctl.tables.export
from a5ctl.tables.export import csv_cell
from core.engines.base import FinishReason
from core.responses.names import GraderName
from tests.a5ctl import asking, handmade
from tests.a5ctl.handmade import bad_separator, cut, evaluation, right, unclosed, wrong

ask = partial(asking.ask, width=200)
FORMULA = ('=HYPERLINK("http://evil";"4")\r\n"x",\x1b[31m', FinishReason.STOP_STRING)
FIRST = [wrong(10), unclosed(11), cut(12), bad_separator(13), FORMULA]
LAST = [right(10), right(11), cut(12), wrong(13), FORMULA]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported")
    handmade.record(path, "sft-aaaa", [evaluation(FIRST, step=0), evaluation(LAST, step=10)])
    return path


@pytest.fixture
def home(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "home"))


def export(home: Path, *arguments: object) -> Result:
    return ask(home, "export", "responses", "sft-aaaa", *arguments)


def test_every_response_is_a_row_with_every_verdict(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    result = export(home, "--out", out)
    assert result.exit_code == 0, result.output
    assert "10 responses of 2 evaluations" in result.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["step"], row["problem_id"]) for row in rows] == [
        (step, f"p{i:03d}") for step in (0, 10) for i in range(5)
    ]
    first = rows[1]
    assert (first["question"], first["truth"]) == ("How many is 1 + 10?", "11")
    assert (first["response"], first["finish"]) == (unclosed(11)[0], "eos")
    assert first["tokens"] == 7
    assert set(first["grades"]) == set(GraderName) - {GraderName.MULTIPLE_CHOICE}
    assert first["grades"]["r1_zero"]["failure"] == "unclosed_answer"
    assert first["grades"]["lenient"]["right"] is True
    assert rows[4]["response"] == FORMULA[0]


def test_one_step_alone(home: Path, tmp_path: Path) -> None:
    export(home, "--out", tmp_path / "r.jsonl", "--step", "10")
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert {row["step"] for row in rows} == {10}


def test_what_is_exported_grades_the_same(home: Path) -> None:
    exported = export(home, "--out", "-").stdout
    graded = ask(home, "grade", "-", "--json", "--examples", "0", given=exported)
    assert graded.exit_code == 0, graded.output
    again = json.loads(graded.stdout)
    stored = json.loads(ask(home, "diagnose", "sft-aaaa", "--json", "--examples", "0").stdout)
    assert again["steps"] == [0, 10]
    for key in ("accuracy", "accuracy_by_grader", "classes", "flags", "unclosed", "truncated"):
        assert again[key] == stored[key], key


def test_csv_holds_the_same_and_runs_no_formula(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    assert export(home, "--out", out).exit_code == 0
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert rows[1]["r1_zero_failure"] == "unclosed_answer"
    assert (rows[1]["lenient_right"], rows[1]["r1_zero_right"]) == ("true", "false")
    assert rows[4]["response"] == "'" + FORMULA[0]


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1", " =1", "\uff1d1", "'x"],
)
def test_what_would_be_a_formula_gets_an_apostrophe(text: str) -> None:
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "18", "-5", "+1,000.5", "-1e5", "x=1", " so it is 4", "a'b"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert csv_cell(text) == text


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_standard_output_takes_nothing_but_rows(home: Path, form: str) -> None:
    result = export(home, "--format", form, "--out", "-")
    assert result.exit_code == 0
    assert len(result.stdout_bytes.splitlines()) >= 10
    assert result.stderr == ""
    if form == "jsonl":
        assert not set(result.stdout) & set("\x1b\x07\u202e\x9b\x7f\r")


def test_the_file_is_named_after_the_run(home: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert export(home, "--format", "csv").exit_code == 0
    assert (tmp_path / "sft-aaaa-responses.csv").stat().st_size > 1000


def test_a_file_is_replaced_only_with_force(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    out.write_text("mine")
    result = export(home, "--out", out)
    assert result.exit_code == 2
    assert "exists already" in " ".join(result.stderr.split())
    assert out.read_text() == "mine"
    assert export(home, "--out", out, "--force").exit_code == 0
    assert len(out.read_text().splitlines()) == 10


def test_a_failure_halfway_leaves_nothing(home: Path, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "r.jsonl").write_text("mine")
    line_of, calls = a5ctl.tables.export.json_line, []

    def full(row: object) -> str:
        calls.append(1)
        if len(calls) > 5:
            raise OSError(28, "No space left on device", "r.jsonl")
        return line_of(row)

    monkeypatch.setattr(a5ctl.tables.export, "json_line", full)
    result = export(home, "--out", folder / "r.jsonl", "--force")
    assert result.exit_code == 2
    assert "No space left on device" in " ".join(result.stderr.split())
    assert [path.name for path in folder.iterdir()] == ["r.jsonl"]
    assert (folder / "r.jsonl").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_odd_places_are_refused(home: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for out, said in (
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "no regular file"),
        (tmp_path / "none" / "r.jsonl", "does not exist"),
    ):
        result = export(home, "--out", out, "--force")
        assert result.exit_code == 2
        assert said in " ".join(result.stderr.split())


def test_a_link_is_followed(home: Path, tmp_path: Path) -> None:
    real, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    real.write_text("old")
    link.symlink_to(real)
    assert export(home, "--out", link, "--force").exit_code == 0
    assert link.is_symlink()
    assert len(real.read_text().splitlines()) == 10


def test_parquet_without_pyarrow_is_one_sentence(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for options in (("--format", "parquet", "--out", "-"), ("--out", tmp_path / "r.parquet")):
        result = export(home, *options)
        assert result.exit_code == 2
        assert "Parquet needs the package pyarrow" in " ".join(result.stderr.split())
    assert not (tmp_path / "r.parquet").exists()


@pytest.mark.slow
def test_parquet_holds_the_exact_texts(home: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    out = tmp_path / "r.parquet"
    assert export(home, "--out", out).exit_code == 0
    rows = parquet.read_table(out).to_pylist()
    assert len(rows) == 10
    assert rows[4]["response"] == FORMULA[0]
    assert rows[1]["lenient_right"] is True
    assert rows[2]["answer_position"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sft-aaaa", "--format", "xlsx"), "--format 'xlsx' is unknown"),
        (("sft-aaaa", "--step", "3"), "no evaluation of step 3; it has 0, 10"),
        (("nobody",), "nobody"),
        (("sft-none",), "no evaluation, so there are no responses"),
    ],
)
def test_bad_input_is_one_sentence(home: Path, arguments: tuple[str, ...], said: str) -> None:
    handmade.record(home, "sft-none", [])
    result = ask(home, "export", "responses", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
