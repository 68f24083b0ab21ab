"""A run is made again from its record: what differs first, then whether it is the same."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from typer.testing import Result

from core.registry.records import RunStatus
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House, small_house

FIRST, SECOND = "sft-8-once", "sft-8-twice"


@pytest.fixture(scope="module")
def made(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> House:
    """A workspace with one run, `original`, on data of its own; `put_back` undoes changes."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(small_folder / "data", folder / "data")
    (folder / "model").symlink_to(small_folder / "model")
    house = small_house(folder, folder / "home")
    house.sft("--name", "original", "--eval-every", "3")
    return house


@pytest.fixture
def put_back(made: House, tmp_path: Path) -> Iterator[House]:
    """Data and registry may be changed; afterwards they are as they were."""
    kept = tmp_path / "kept"
    shutil.copytree(made.data, kept / "data")
    database = made.home / "registry.db"
    with sqlite3.connect(database) as now, sqlite3.connect(kept / "registry.db") as copy:
        now.backup(copy)
    yield made
    shutil.rmtree(made.data, ignore_errors=True)
    shutil.copytree(kept / "data", made.data)
    with sqlite3.connect(kept / "registry.db") as copy, sqlite3.connect(database) as now:
        copy.backup(now)


def edit(house: House, column: str, change: Any, name: str = "original") -> None:
    """Change a JSON column of a run as if another version had recorded it."""
    with sqlite3.connect(house.home / "registry.db") as connection:
        query = f"SELECT {column} FROM run WHERE name = ?"
        (text,) = connection.execute(query, (name,)).fetchone()
        tree = json.loads(text)
        change(tree)
        values = (json.dumps(tree), name)
        connection.execute(f"UPDATE run SET {column} = ? WHERE name = ?", values)


def said(result: Result) -> str:
    return " ".join(result.output.split())


@pytest.mark.slow
def test_a_run_made_again_and_stopped_and_resumed_is_bitwise_the_same(put_back: House) -> None:
    house = put_back
    result = house.run("reproduce", "original", "--steps", "4", "--name", "again", "--json", "-q")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["same"], found["steps"], found["of_steps"]) == (True, 4, 6)
    assert found["unchanged"]
    assert {"step_seconds", "tokens_per_second"} == set(found["not_compared"])

    again = house.json("show", "again")
    original = house.json("show", "original")
    assert again["status"] == "interrupted"
    assert again["tags"] == ["reproduction"]
    assert again["provenance"]["reproduces"] == {"run": original["id"], "uuid": original["uuid"]}
    (event,) = [event for event in again["events"] if event["kind"] == "reproduction"]
    assert event["message"].startswith(f"made again from {original['id']}: bitwise the same")

    edit(house, "provenance", lambda recorded: recorded["packages"].update(torch="1.0"), "again")
    assert house.run("resume", "again", "-q").exit_code == 0
    said_by_it = [event["message"] for event in house.json("show", "again")["events"]]
    assert any("not everything is as it was: torch 1.0 -> " in text for text in said_by_it)
    whole = house.run("reproduce", "original", "--with", "again")
    assert whole.exit_code == 0, whole.output
    assert "bitwise the same: 6 steps, 10 metrics; 36/36 responses the same" in said(whole)
    assert "26/26 tensors the same at step 6" in said(whole)
    assert max(map(cell_len, whole.output.splitlines())) <= 100


@pytest.mark.slow
def test_a_run_that_failed_fails_again_at_the_same_step(
    put_back: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers.sft import SFT

    update = SFT.update

    def failing(self: SFT, step: int) -> dict[str, float]:
        if step == 2:
            raise RuntimeError("the cable was pulled")
        return update(self, step)

    monkeypatch.setattr(SFT, "update", failing)
    assert put_back.run("run", "sft", *put_back.small, "--name", "broken", "-q").exit_code == 1
    result = put_back.run("reproduce", "broken", "-q")
    assert result.exit_code == 0, result.output
    assert "bitwise the same: 1 step, 10 metrics; 12/12 responses the same" in said(result)

    monkeypatch.setattr(SFT, "update", update)
    mended = put_back.run("reproduce", "broken", "-q", "--json")
    assert mended.exit_code == 0, mended.output
    assert json.loads(mended.stdout)["steps"] == 1


def test_nothing_differs_right_after_a_run(made: House) -> None:
    result = made.run("reproduce", "original", "--check")
    assert result.exit_code == 0, result.output
    assert "nothing that was recorded differs now" in said(result)


def test_what_differs_is_said_before_anything_is_made(put_back: House) -> None:
    def older(provenance: dict[str, Any]) -> None:
        provenance["packages"]["torch"] = "1.0"
        provenance["machine"]["cpu"] = "abacus"
        provenance["environment"]["VLLM_X"] = "1"

    edit(put_back, "provenance", older)
    edit(put_back, "config", lambda config: config["train"].pop("on_alarm"))
    result = put_back.run("reproduce", "original", "--check", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    told = {(d["aspect"], d["name"]): (d["recorded"], d["now"]) for d in found["differences"]}
    assert told.keys() == {
        ("settings", "train.on_alarm"),
        ("packages", "torch"),
        ("hardware", "cpu"),
        ("environment", "VLLM_X"),
    }
    assert told["settings", "train.on_alarm"] == (None, "warn")
    assert told["environment", "VLLM_X"] == ("1", None)
    assert "4 things are not as recorded" in said(put_back.run("reproduce", "original", "--check"))


def test_changed_data_is_refused_with_its_place_and_hashes(put_back: House) -> None:
    run = handmade.open_home(put_back.home).find_run("original")
    file = put_back.data / "train.jsonl"
    file.write_text(file.read_text().replace("apples", "pears"))
    result = put_back.run("reproduce", "original")
    assert result.exit_code == 2
    assert f"the data of run {run.id} has changed: {put_back.data} has the hash" in said(result)
    assert f"{run.data_hash[:12]} was recorded" in said(result)
    assert "--anyway" in said(result)
    assert len(put_back.json("ls")) == 1


def test_changed_test_data_is_seen_although_nothing_was_learned_from_it(put_back: House) -> None:
    file = put_back.data / "test.jsonl"
    file.write_text(file.read_text().replace("apples", "pears"))
    result = put_back.run("reproduce", "original")
    assert result.exit_code == 2
    assert "the evaluated data of run" in said(result)


def test_missing_data_is_in_the_way_even_with_anyway(put_back: House) -> None:
    shutil.rmtree(put_back.data)
    for options, code in ((("--check",), 1), (("--anyway",), 2)):
        result = put_back.run("reproduce", "original", *options)
        assert result.exit_code == code
        assert "cannot be made again" in said(result)
        assert str(put_back.data) in "".join(result.output.split())


def test_a_checkpoint_that_is_gone_names_both_ways_out(put_back: House) -> None:
    registry = handmade.open_home(put_back.home)
    parent = registry.find_run("original")
    handmade.record(put_back.home, "sft-child", [], parent=parent, model={"run_step": 5})
    result = put_back.run("reproduce", "sft-child", "--check")
    assert result.exit_code == 1
    assert f"it starts from step 5 of run {parent.id}, whose checkpoint cannot be had" in said(
        result
    )
    assert f"a5ctl reproduce {parent.id}" in said(result)
    assert "a5ctl reproduce sft-child --init RUN:5" in said(result)


def test_a_setting_that_this_version_does_not_know_ends_it(put_back: House) -> None:
    edit(put_back, "config", lambda config: config["train"].update(warp=9))
    result = put_back.run("reproduce", "original")
    assert result.exit_code == 2
    assert "'train.warp' is not a setting" in said(result)
    assert "make it again with the code that recorded it" in said(result)


@pytest.mark.parametrize(
    ("column", "change", "sentence"),
    [
        ("provenance", {"imported": {"from": "wandb"}}, "was imported from wandb"),
        ("config", {"dump": {"file": "x.jsonl"}}, "graded from a file"),
    ],
)
def test_runs_that_were_not_made_here_are_refused(
    put_back: House, column: str, change: dict[str, Any], sentence: str
) -> None:
    edit(put_back, column, lambda tree: tree.update(change))
    result = put_back.run("reproduce", "original", "--check")
    assert result.exit_code == 2
    assert sentence in said(result)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Two runs by hand that differ in one response and in the loss of one step."""
    home = tmp_path_factory.mktemp("two")
    for name, second in ((FIRST, handmade.right(11)), (SECOND, handmade.wrong(11))):
        answers = [handmade.right(10), second]
        run = handmade.record(home, name, [handmade.evaluation(answers, step=3)])
        registry = handmade.open_home(home)
        with handmade.Recorder(registry, run.uuid, home / "runs" / name) as recorder:
            for step in (1, 2, 3):
                off = 0.25 if (step, name) == (2, SECOND) else 0.0
                nothing = float("nan") if (step, name) == (3, FIRST) else 1.0
                values = {"loss": 1.0 / step + off, "step_seconds": off, "grad_norm": nothing}
                recorder.metrics(step, values)
    return House(home, home, home)


def test_two_runs_are_compared_without_making_one(two: House) -> None:
    before = len(two.json("ls"))
    result = two.run("reproduce", FIRST, "--with", SECOND)
    assert result.exit_code == 1
    assert "not the same: 2 of 2 metrics differ from step 2 on; 1/2 responses the same" in said(
        result
    )
    assert "first: p001 at step 3" in said(result)
    assert "step_seconds (measured)" in said(result)
    found = json.loads(two.run("reproduce", FIRST, "--with", SECOND, "--json").stdout)
    norm, loss = found["metrics"]
    assert (loss["first"], loss["recorded"], loss["again"], loss["largest"]) == (2, 0.5, 0.75, 0.25)
    assert (norm["first"], norm["recorded"], norm["again"]) == (3, "nan", 1.0)
    assert len(two.json("ls")) == before


def test_a_run_is_the_same_as_its_like(two: House) -> None:
    handmade.record(two.home, "sft-8-like", [handmade.evaluation([handmade.right(10)], step=3)])
    handmade.record(two.home, "sft-8-alike", [handmade.evaluation([handmade.right(10)], step=3)])
    result = two.run("reproduce", "sft-8-like", "--with", "sft-8-alike")
    assert result.exit_code == 0, result.output
    assert "bitwise the same: 1/1 responses the same" in said(result)


def test_runs_without_anything_recorded_are_not_called_the_same(two: House) -> None:
    for name in ("sft-8-empty", "sft-8-void"):
        handmade.record(two.home, name, [])
    result = two.run("reproduce", "sft-8-empty", "--with", "sft-8-void")
    assert result.exit_code == 1
    assert "nothing to compare" in said(result)


def test_an_evaluation_that_a_stopped_run_did_not_get_to_is_no_difference(two: House) -> None:
    result = handmade.evaluation([handmade.right(10)], step=0)
    last = handmade.evaluation([handmade.right(10)], step=3)
    handmade.record(two.home, "sft-8-whole", [result, last])
    stopped = handmade.record(two.home, "sft-8-short", [result])
    registry = handmade.open_home(two.home)
    with handmade.Recorder(registry, stopped.uuid, two.home / "runs" / stopped.id) as recorder:
        recorder.metrics(3, {"step_seconds": 1.0})
        recorder.finish("interrupted", "SIGTERM")
    found = two.run("reproduce", "sft-8-whole", "--with", "sft-8-short")
    assert found.exit_code == 0, found.output
    assert "sft-8-short ended before its evaluation at step 3" in said(found)
    registry.set_status(stopped.uuid, RunStatus.FINISHED)
    assert two.run("reproduce", "sft-8-whole", "--with", "sft-8-short").exit_code == 1


def test_a_run_that_may_be_alive_is_left_alone(two: House) -> None:
    live = handmade.record(two.home, "sft-8-live", [], status=RunStatus.RUNNING)
    for arguments in (("sft-8-live",), (FIRST, "--with", live.id)):
        result = two.run("reproduce", *arguments)
        assert result.exit_code == 2
        assert "may still be going on" in said(result)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--with", FIRST), "is one run; give two"),
        (("--with", SECOND, "--check"), "leave out --check"),
        (("--with", SECOND, "--steps", "3"), "leave out --steps"),
        (("--check", "--anyway"), "leave out --anyway"),
        (("--init", f"{SECOND}:best"), "name the step"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    two: House, options: tuple[str, ...], sentence: str
) -> None:
    result = two.run("reproduce", FIRST, *options)
    assert result.exit_code == 2
    assert sentence in said(result)


@pytest.mark.parametrize("columns", ["80", "140"])
def test_no_line_is_wider_than_the_terminal(
    two: House, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from a5ctl.app import app

    environment = {"A5CTL_HOME": str(two.home), "COLUMNS": columns, "NO_COLOR": "1"}
    runner = CliRunner(env=environment)
    result = runner.invoke(app, ["reproduce", FIRST, "--with", SECOND])
    assert max(map(cell_len, result.output.splitlines())) <= int(columns)
    assert "\x1b" not in result.output
