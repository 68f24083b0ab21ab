"""`a5ctl export RUN...`: each format read back, by its own rules, to what the registry holds."""

import csv
import json
import math
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from a5ctl.app import app
from core.registry.recorder import Recorder
from core.workspace import Workspace
from tests.a5ctl import handmade
from tests.a5ctl.handmade import evaluation, right, wrong

# 0.1 and 1/3 have no short form in 32 bits
VALUES = {1: 0.1, 2: math.nan, 3: math.inf, 4: 1 / 3}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that went back to step 2 once: what it had of steps 3 and 4 is superseded."""
    home = tmp_path_factory.mktemp("exported")
    run = handmade.record(home, "sft-aaaa", [evaluation([right(10), wrong(11)], step=2)])
    registry = handmade.open_home(home)
    with Recorder(registry, run.uuid, Workspace(home).run_folder(run.id)) as recorder:
        for step in VALUES:
            recorder.metrics(step, {"train/loss": 9.0 if step > 2 else VALUES[step]})
        recorder.begin_segment(2)
        for step in (3, 4):
            recorder.metrics(step, {"train/loss": VALUES[step]})
        recorder.event("warning", "strange", '=cmd|"x"\x1b[31m', step=3, data={"a": 1})
    registry.close()
    handmade.record(home, "sft-bbbb", [evaluation([wrong(10), wrong(11)], step=4)])
    return home


@pytest.fixture
def home(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Path(shutil.copytree(recorded, tmp_path / "home"))


def export(home: Path, *arguments: object) -> Result:
    arguments = ("export", *arguments, "--home", home)
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200", "NO_COLOR": "1"})


def same(found: list[float]) -> bool:
    wanted = list(VALUES.values())
    return len(found) == 4 and all(
        a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(found, wanted, strict=True)
    )


def test_json_holds_everything_with_its_segments(home: Path) -> None:
    result = export(home, "sft-aaaa")
    assert result.exit_code == 0, result.output
    document = json.loads(Path("sft-aaaa.json").read_text())
    (run,) = document["runs"]
    curve = run["metrics"]["train/loss"]
    assert curve["step"] == [1, 2, 3, 4, 3, 4]
    assert curve["segment"] == [0, 0, 0, 0, 1, 1]
    assert curve["superseded"] == [False, False, True, True, False, False]
    assert curve["value"] == [0.1, "NaN", 9.0, 9.0, "Infinity", 1 / 3]
    assert all(time > 1e9 for time in curve["time"])
    assert run["config"]["kind"] == "sft"
    (graded,) = run["evaluations"]
    assert (graded["step"], graded["accuracy"], graded["protocol"]["grader"]) == (2, 0.5, "r1_zero")
    (event,) = [event for event in run["events"] if event["kind"] == "strange"]
    assert (event["message"], event["data"]) == ('=cmd|"x"\x1b[31m', {"a": 1})


def test_csv_is_a_folder_of_tables(home: Path) -> None:
    assert export(home, "sft-aaaa", "sft-bbbb", "--format", "csv").exit_code == 0
    tables = {}
    for path in Path("runs-csv").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            tables[path.stem] = list(csv.DictReader(file))
    assert {row["run"] for row in tables["runs"]} == {"sft-aaaa", "sft-bbbb"}
    shown = [row for row in tables["metrics"] if row["superseded"] == "false"]
    assert same([float(row["value"]) for row in shown])
    assert [row["value"] for row in shown[1:3]] == ["nan", "inf"]
    assert [row["accuracy"] for row in tables["evaluations"]] == ["0.5", "0.0"]
    assert any(row["message"].startswith("'=cmd") for row in tables["events"])


def test_parquet_keeps_the_types(home: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert export(home, "sft-aaaa", "--format", "parquet").exit_code == 0
    rows = parquet.read_table("sft-aaaa-parquet/metrics.parquet").to_pylist()
    assert same([row["value"] for row in rows if not row["superseded"]])
    (run,) = parquet.read_table("sft-aaaa-parquet/runs.parquet").to_pylist()
    assert (run["run"], run["size"], run["seed"]) == ("sft-aaaa", None, None)


def test_tensorboard_logs_come_back_exactly(home: Path) -> None:
    from core.interchange.tensorboard_log import read_tensorboard

    assert export(home, "sft-aaaa", "--format", "tensorboard", "--out", "logs").exit_code == 0
    run = read_tensorboard(Path("logs/sft-aaaa"))
    entries = list(run.curves.entries(None))
    assert same([e.values["train/loss"] for e in entries if "train/loss" in e.values])
    assert run.settings["kind"] == "sft"
    assert [e.values["evaluation/test/accuracy"] for e in entries if len(e.values) > 1] == [0.5]
    assert "\x1b" not in json.dumps(run.origin)


def test_tensorboard_itself_reads_the_logs(home: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    assert export(home, "sft-aaaa", "--format", "tensorboard", "--out", "logs").exit_code == 0
    log = EventAccumulator("logs/sft-aaaa")
    log.Reload()
    points = log.Tensors("train/loss")
    assert [point.step for point in points] == [1, 2, 3, 4]
    assert same([make_ndarray(point.tensor_proto).item() for point in points])
    plugin = log.SummaryMetadata("train/loss").plugin_data.plugin_name
    assert plugin == "scalars"


def test_standard_output_takes_the_document(home: Path) -> None:
    result = export(home, "sft-bbbb", "--out", "-")
    assert [run["run"] for run in json.loads(result.stdout)["runs"]] == ["sft-bbbb"]
    assert export(home, "sft-bbbb", "--format", "csv", "--out", "-").exit_code == 2


def test_only_what_an_export_wrote_is_replaced(home: Path) -> None:
    assert export(home, "sft-aaaa", "--format", "csv").exit_code == 0
    refused = export(home, "sft-aaaa", "--format", "csv")
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert export(home, "sft-aaaa", "--format", "csv", "--force").exit_code == 0
    mine = Path("mine")
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    again = export(home, "sft-aaaa", "--format", "csv", "--out", "mine", "--force")
    assert again.exit_code == 2
    assert (mine / "thesis.txt").read_text() == "years of work"
    assert not list(Path().glob(".a5ctl-*"))


def test_a_failed_export_leaves_the_old_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import a5ctl.tables.run_exports

    export(home, "sft-aaaa", "--format", "csv")
    before = Path("sft-aaaa-csv/metrics.csv").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(a5ctl.tables.run_exports, "_write_csv", full)
    assert export(home, "sft-aaaa", "--format", "csv", "--force").exit_code == 2
    assert Path("sft-aaaa-csv/metrics.csv").read_bytes() == before
    assert not list(Path().glob(".a5ctl-*"))


def test_export_responses_still_has_its_own_name(home: Path) -> None:
    assert export(home, "responses", "sft-aaaa").exit_code == 0
    assert Path("sft-aaaa-responses.jsonl").exists()
    unknown = export(home, "sft-zzzz")
    assert unknown.exit_code == 2
    assert "no run 'sft-zzzz'" in unknown.stderr
    assert "choose json" in export(home, "sft-aaaa", "--format", "xls").stderr
