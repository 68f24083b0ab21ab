"""`a5ctl import`: from files of other tools to runs that can be listed, diagnosed and compared."""

import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.models import BUILTIN_PATH
from core.registry.journal import JOURNAL_NAME
from core.registry.store import Registry
from core.responses.names import GRADER_VERSIONS, GraderName
from tests.a5ctl import asking, handmade
from tests.a5ctl.handmade import evaluation, right, wrong
from tests.core.interchange.test_readers import FILES, WANDB, store, write_logs, write_samples

ask = partial(asking.ask, width=200)
TABLES = ("run", "metric", "metric_summary", "evaluation", "response", "grade", "event", "problem")


def imported(home: Path, *arguments: object) -> list[dict[str, Any]]:
    result = ask(home, "import", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return list(json.loads(result.stdout)["imported"])


def rows(home: Path) -> dict[str, list[Any]]:
    registry = handmade.open_home(home)
    try:
        found = {name: registry.database.read(f"SELECT * FROM {name}") for name in TABLES}
        return {name: sorted(map(repr, table)) for name, table in found.items()}
    finally:
        registry.close()


def opened(home: Path, reference: str) -> tuple[Registry, Any]:
    registry = handmade.open_home(home)
    return registry, registry.find_run(reference)


def test_a_wandb_run_arrives_with_curves_labels_and_graded_responses(tmp_path: Path) -> None:
    (item,) = imported(tmp_path, WANDB, "--tag", "old")
    assert (item["state"], item["name"], item["metrics"]) == ("new", "sft-128", 3)
    registry, run = opened(tmp_path, item["run"])
    assert (run.kind, run.status, run.seed, run.group) == ("import", "finished", 2, "sizes")
    assert run.tags == ("course", "sft", "old")
    assert run.config["settings"]["lr"] == 1e-5
    assert [p.step for p in registry.metrics(run.uuid)["train/loss"]] == [10, 20, 30, 40]
    (graded,) = registry.evaluations([run.uuid])
    assert (graded.step, graded.grader, graded.type1, graded.type2, graded.type3) == (
        *(2, "r1_zero"),
        *(1, 1, 1),
    )
    told = registry.provenance(run.uuid)["imported"]
    assert (told["from"], told["path"]) == ("wandb", str(WANDB))
    assert any("secret" in reason for reason in told["left_out"])
    assert [event.kind for event in registry.events(run.uuid)] == ["imported"]
    registry.close()


@pytest.mark.slow
def test_importing_everything_again_changes_no_row(tmp_path: Path) -> None:
    source, home = tmp_path / "past", tmp_path / "home"
    shutil.copytree(FILES, source)
    store(source)
    write_logs(source / "sft_eval")
    write_samples(source / "model")
    first = imported(home, source)
    before = rows(home)
    moved = source.rename(tmp_path / "moved")
    again = imported(home, moved)
    assert {item["state"] for item in first} == {"new"}
    assert len(first) == 8
    assert {item["state"] for item in again} == {"unchanged"}
    assert [item["run"] for item in first] == [item["run"] for item in again]
    assert rows(home) == before


@pytest.mark.slow
def test_what_a_registry_lost_comes_back_the_same_from_the_run_folders(tmp_path: Path) -> None:
    write_logs(tmp_path / "sft_eval")
    home = tmp_path / "home"
    (item,) = imported(home, tmp_path / "sft_eval")
    before = rows(home)
    for path in home.glob("registry.db*"):
        path.unlink()
    assert imported(home, home / "runs")[0]["run"] == item["run"]
    assert rows(home) == before


@pytest.mark.slow
def test_what_was_graded_again_here_outlives_the_next_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs, home = tmp_path / "sft_eval", tmp_path / "home"
    write_logs(logs)
    (item,) = imported(home, logs)
    monkeypatch.setitem(GRADER_VERSIONS, GraderName.STRICT, 99)
    assert ask(home, "regrade", item["run"]).exit_code == 0
    told = [event for event in rows(home)["event"] if "regraded" in event]
    assert told
    (item,) = imported(home, logs, "--tokenizer", BUILTIN_PATH)
    assert item["state"] == "updated"
    before = rows(home)
    assert [event for event in before["event"] if "regraded" in event] == told
    for path in home.glob("registry.db*"):
        path.unlink()
    imported(home, home / "runs")
    after = rows(home)
    assert {name: len(found) for name, found in after.items()} == {
        name: len(found) for name, found in before.items()
    }


@pytest.mark.slow
def test_a_source_that_grew_is_brought_up_to_date(tmp_path: Path) -> None:
    copy, home = Path(shutil.copytree(WANDB, tmp_path / WANDB.name)), tmp_path / "home"
    (file,) = copy.glob("run-*.wandb")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    (first,) = imported(home, copy)
    assert first["status"] == "interrupted"
    assert ask(home, "import", copy).exit_code == 0
    file.write_bytes(whole)
    (second,) = imported(home, copy)
    assert (second["state"], second["status"]) == ("updated", "finished")
    assert second["run"] == first["run"]
    (fresh,) = imported(tmp_path / "fresh", copy)
    both = [rows(home)["metric"], rows(tmp_path / "fresh")["metric"]]
    assert len(both[0]) == len(both[1]) == fresh["values"]


@pytest.mark.slow
def test_an_update_is_the_same_as_importing_afresh(tmp_path: Path) -> None:
    write_logs(tmp_path / "sft_eval")
    home = tmp_path / "home"
    imported(home, tmp_path / "sft_eval")
    log = tmp_path / "sft_eval" / "step_100" / "test_log.json"
    log.write_text(json.dumps(json.loads(log.read_text())[:3]))
    (item,) = imported(home, tmp_path / "sft_eval")
    assert (item["state"], item["evaluations"], item["responses"]) == ("updated", 2, 7)


@pytest.mark.slow
def test_imported_logs_can_be_diagnosed_and_compared(tmp_path: Path) -> None:
    write_logs(tmp_path / "a" / "sft_eval")
    write_logs(tmp_path / "b" / "sft_eval")
    log = tmp_path / "b" / "sft_eval" / "step_0" / "test_log.json"
    log.write_text(log.read_text().replace(" so ", " then "))
    home = tmp_path / "home"
    first, second = imported(home, tmp_path / "a", tmp_path / "b", "--group", "mine")
    diagnosis = json.loads(ask(home, "diagnose", first["run"], "--step", "0", "--json").stdout)
    assert diagnosis["accuracy"] == 0
    assert {c["class"]: c["count"] for c in diagnosis["classes"]} == {"wrong_number": 4}
    compared = ask(home, "compare", "--baseline", first["run"], "--json")
    assert compared.exit_code == 0, compared.output
    assert second["run"] in compared.stdout
    shown = ask(home, "show", first["run"])
    assert "run sft --init" not in shown.stdout


def test_the_prompt_of_the_course_is_taken_off_the_question(tmp_path: Path) -> None:
    from core.interchange.graded_rows import bare_question

    head = "A conversation between User and Assistant. The User asks. The Assistant thinks."
    prompt = f"{head}\nUser: How many?\nAssistant: <think>"
    assert bare_question(prompt) == "How many?"
    assert bare_question("User: How many?") == "User: How many?"


@pytest.mark.slow
def test_a_run_folder_of_another_machine_is_copied_and_merged(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    run = handmade.record(there, "sft-aaaa", [evaluation([right(10), wrong(11)])])
    folder = there / "runs" / "sft-aaaa"
    (folder / "config.toml").write_text("kind = 'sft'\n")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "weights").write_bytes(b"w")
    (folder / "link").symlink_to("/etc/passwd")
    (item,) = imported(here, folder)
    assert (item["run"], item["state"], item["responses"]) == ("sft-aaaa", "new", 2)
    assert "checkpoints" in item["left_out"][0]
    copy = here / "runs" / "sft-aaaa"
    assert (copy / "config.toml").exists()
    assert not (copy / "link").exists()
    assert not (copy / "checkpoints").exists()
    before = rows(here)
    assert imported(here, folder)[0]["state"] == "unchanged"
    assert rows(here) == before
    assert imported(here, folder, "--checkpoints")[0]["left_out"] == []
    assert (copy / "checkpoints" / "weights").read_bytes() == b"w"
    registry, found = opened(here, "sft-aaaa")
    assert found.uuid == run.uuid
    registry.close()


@pytest.mark.slow
def test_another_run_with_the_same_id_keeps_it(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    theirs = handmade.record(there, "sft-aaaa", [evaluation([right(10)])])
    handmade.record(here, "sft-aaaa", [evaluation([wrong(10), wrong(11)])])
    (item,) = imported(here, there / "runs" / "sft-aaaa")
    assert item["run"] != "sft-aaaa"
    registry, found = opened(here, item["run"])
    assert (found.uuid, found.folder) == (theirs.uuid, f"runs/{item['run']}")
    registry.close()
    assert imported(here, there / "runs" / "sft-aaaa")[0]["state"] == "unchanged"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "../../escape"),
        ("id", ".hidden"),
        ("status", "flying"),
        ("config", "[1]"),
        ("tags", '{"a": 1}'),
        ("created", "yesterday"),
        ("uuid", "x"),
    ],
)
def test_a_journal_that_lies_about_its_run_reaches_nothing(
    tmp_path: Path, column: str, value: str
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    handmade.record(there, "sft-aaaa", [])
    path = there / "runs" / "sft-aaaa" / JOURNAL_NAME
    lines = []
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        if entry["entry"] == "run":
            entry["columns"][column] = value
        lines.append(json.dumps(entry, separators=(",", ":")))
    path.write_text("\n".join(lines) + "\n")
    result = ask(here, "import", path.parent)
    assert result.exit_code == 2, result.output
    assert ask(here, "ls", "--json").stdout.strip() == "[]"
    assert not (tmp_path / "escape").exists()


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "run-bad.wandb").write_bytes(b"nothing")
    result = ask(tmp_path / "home", "import", tmp_path / "x", WANDB)
    assert result.exit_code == 1
    assert "cannot be imported" in result.stderr
    assert "imported" in result.stdout


def test_names_that_would_move_a_terminal_are_harmless(tmp_path: Path) -> None:
    from core.interchange.foreign import ForeignRun, Source
    from core.interchange.keep import KeepOptions, keep
    from core.workspace import open_workspace

    home = tmp_path / "home"
    run = ForeignRun(Source.WANDB, "x", tmp_path, "f", name="\x1b[31mred\x00", ended=1e9)
    run.curves.add("loss\x1b]0;x\x07", 1, 1e9, 0.5)
    run.curves.add("ok", -1, 1e9, 0.5)
    workspace = open_workspace(home)
    registry = handmade.open_home(home)
    kept = keep(registry, workspace, run, KeepOptions())
    registry.close()
    shown = ask(home, "show", kept.run)
    assert shown.exit_code == 0, shown.output
    assert not set(shown.output) & set("\x1b\x07\x00")
    assert kept.left_out == ["1 values with a step that is negative or too large"]


def test_a_dry_run_keeps_nothing(tmp_path: Path) -> None:
    result = ask(tmp_path / "home", "import", FILES, "--dry-run", "--json")
    assert {item["source"] for item in json.loads(result.stdout)} == {"wandb", "tensorboard"}
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "does not exist"),
        ([str(FILES), "--from", "aim"], "choose run, wandb"),
        ([str(FILES), "--from", "mlflow"], "leave --from out"),
    ],
)
def test_what_cannot_be_imported_is_one_sentence(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    result = ask(tmp_path / "home", "import", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with a name")
@pytest.mark.parametrize("what", ["a pipe", "a hole", "a large hole beside it"])
def test_a_run_folder_without_end_is_refused(tmp_path: Path, what: str) -> None:
    source, home = tmp_path / "source", tmp_path / "home"
    source.mkdir()
    run = handmade.record(source, "sft-odd", [evaluation([right(1)])])
    folder = source / "runs" / run.id
    journal = folder / JOURNAL_NAME
    if what == "a pipe":
        journal.unlink()
        os.mkfifo(journal)
    else:
        hole = journal if what == "a hole" else folder / "log.txt"
        with hole.open("wb") as file:
            file.truncate(2**43)
    result = ask(home, "import", folder)
    assert result.exit_code == 2, result.output
    assert run.id in result.output
    assert not (home / "runs" / run.id).exists()
