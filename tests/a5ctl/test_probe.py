"""`a5ctl probe`: what the cap cut off, what was never closed, and who counts it."""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from core.registry.store import Registry
from tests.a5ctl import handmade
from tests.a5ctl.asking import ask, document
from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import EOS, STOP, right, wrong
from tests.a5ctl.probing import ANSWERS, evaluation, install_engine, script
from tests.scripted import Script, ScriptedEngine
from tests.warm import Started

CAPPED, UNCLOSED = 3, 6


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], ScriptedEngine]:
    return partial(install_engine, monkeypatch)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    handmade.record(tmp_path, "eval-aaaa", [evaluation(step=0)], kind="eval")
    return tmp_path


def rows(registry: Registry, table: str) -> int:
    return registry.database.read(f"SELECT COUNT(*) FROM {table}")[0][0]


def test_larger_caps_say_what_they_recover(home: Path, engine: Callable) -> None:
    asked = engine(script).asked
    found = document(home, "probe", "eval-aaaa", "--max-tokens", "100,20")
    assert [p["cap"] for p in found["probes"]] == [20, 100]
    small, large = found["probes"]
    assert (small["n"], small["ended"], small["right"]) == (CAPPED, 1, 1)
    assert (large["n"], large["ended"], large["right"]) == (CAPPED, CAPPED, 2)
    assert (found["accuracy"], large["accuracy_if"]) == (1 / 8, 3 / 8)
    assert large["diverged"] == 0
    assert {sampling.max_tokens for _, sampling in asked} == {100}
    assert [text for text, _ in asked] == [f"Question How many is {i} + 10?" for i in (2, 3, 6)]
    assert large["responses"][0]["text"].startswith(ANSWERS[2][0])


def test_closing_tells_knowing_from_not_knowing(home: Path, engine: Callable) -> None:
    asked = engine(script).asked
    (found,) = document(home, "probe", "eval-aaaa", "--close")["probes"]
    assert (found["kind"], found["n"], found["ended"], found["right"]) == ("close", UNCLOSED, 6, 4)
    assert found["capped"] == {"n": 3, "ended": 3, "right": 2}
    assert found["ended_alone"] == {"n": 3, "ended": 3, "right": 2}
    assert found["closed_alone"] == {"n": 2, "right": 1}
    by_problem = {r["problem"]: r for r in found["responses"]}
    assert by_problem["p005"]["appended"] == ""
    assert by_problem["p005"]["text"] == "so it is 15 </think> <answer> 15 </answer>"
    assert by_problem["p006"]["text"] == "so it </think> <answer> 16 </answer>"
    assert by_problem["p007"]["text"] == "I do not know. </think> <answer> 99 </answer>"
    assert len(asked) == UNCLOSED - 1
    assert all(sampling.stop == ("</answer>",) for _, sampling in asked)


def test_both_probes_at_once_on_the_screen(home: Path, engine: Callable) -> None:
    engine(script)
    text = ask(home, "probe", "eval-aaaa", "--max-tokens", "20,100", "--close").stdout
    lines = [line.split() for line in text.splitlines()]
    assert ["20", "1", "1", "25.0%"] in lines
    assert ["100", "3", "2", "37.5%"] in lines
    said = " ".join(text.split())
    assert "All 3 come to an end within 100 tokens, and 2 of them are right." in said
    assert (
        "Of 3 that ended without closing an answer, 2 are right once closed: it knows most" in said
    )
    assert "Of 3 that the cap cut, 2 are right when they must answer at once" in said
    assert "Accuracy if closed so: 62.5%." in said


@pytest.mark.parametrize("width", [60, 80, 140])
def test_lines_fit_the_terminal(home: Path, engine: Callable, width: int) -> None:
    engine(script)
    both = ("--max-tokens", "20,100", "--close", "--limit", "2")
    text = ask(home, "probe", "eval-aaaa", *both, "--quiet", width=width).stdout
    assert max(map(len, text.splitlines())) <= width
    assert "at least" in text


@pytest.mark.slow
def test_examples_show_what_was_stored_and_what_came_then(home: Path, engine: Callable) -> None:
    engine(script)
    text = ask(home, "probe", "eval-aaaa", "--close", "--examples", "9", "--quiet").stdout
    assert "helped to close: 4 of 4 right ones" in text
    lines = [line.strip() for line in text.splitlines()]
    assert "stored    so it is 14." in lines
    assert "appended  </think> <answer>" in lines
    assert "then      14 </answer>" in lines
    text = ask(home, "probe", "eval-aaaa", "--close", "--examples", "0", "--quiet").stdout
    assert "helped to close:" not in text


def test_hostile_text_stays_text(tmp_path: Path, engine: Callable) -> None:
    hostile = "\x1b[31mred\x1b]0;own\x07 [bold]B[/nope] \u202eevil"
    engine(lambda prompt: (f" {hostile} </answer>", STOP))
    answers = [(f"so {hostile}", EOS), right(11)]
    handmade.record(tmp_path, "eval-evil", [evaluation(answers, step=0)], kind="eval")
    result = ask(tmp_path, "probe", "eval-evil", "--close")
    assert result.exit_code == 0, result.output
    assert not set("\x1b\x07\u202e") & set(result.output)
    assert "[bold]B[/nope]" in result.stdout


@pytest.mark.slow
def test_diagnose_counts_what_was_recovered(home: Path, engine: Callable) -> None:
    engine(script)
    before = document(home, "diagnose", "eval-aaaa")
    assert before["probes"] == []
    assert not any("probe" in sentence for sentence in before["verdict"]["sentences"])
    document(home, "probe", "eval-aaaa", "--max-tokens", "100", "--close")
    after = document(home, "diagnose", "eval-aaaa")
    assert "4 were made right by a probe." in after["verdict"]["sentences"]
    assert after["verdict"]["headline"] == "It fails the format, not the math."
    assert [(p["kind"], p["n"], p["right"]) for p in after["probes"]] == [
        ("max_tokens", CAPPED, 2),
        ("close", UNCLOSED, 4),
    ]
    assert after["accuracy"] == before["accuracy"]


@pytest.mark.slow
def test_verdicts_of_another_version_of_the_grader_are_said(home: Path, engine: Callable) -> None:
    engine(script)
    (fresh,) = document(home, "probe", "eval-aaaa", "--close")["probes"]
    assert fresh["grader_versions"] == fresh["stored_grader_versions"]
    assert "judged by version" not in ask(home, "diagnose", "eval-aaaa").stdout
    handmade.change_versions(home, lambda version: version + 1)
    said = " ".join(ask(home, "diagnose", "eval-aaaa").stdout.split())
    assert "the probe --close was judged by version" in said
    assert "to judge both alike: a5ctl probe eval-aaaa --close" in said
    (kept,) = document(home, "diagnose", "eval-aaaa")["probes"]
    assert kept["stored_grader_versions"] == [v + 1 for v in kept["grader_versions"]]
    handmade.change_versions(home, lambda version: version - 2)
    said = " ".join(ask(home, "diagnose", "eval-aaaa").stdout.split())
    assert "to judge both alike: a5ctl regrade eval-aaaa" in said


@pytest.mark.slow
def test_another_text_is_said_and_not_counted(home: Path, engine: Callable) -> None:
    engine(lambda prompt: (script(prompt)[0].replace("first", "then"), STOP))
    result = ask(home, "probe", "eval-aaaa", "--max-tokens", "100")
    said = " ".join(result.stdout.split())
    assert "2 of 3 responses that were made again do not begin with the stored one" in said
    assert "2 do not begin with the stored response" in said
    found = document(home, "diagnose", "eval-aaaa")
    assert "1 were made right by a probe." in found["verdict"]["sentences"]
    (event,) = [e for e in document(home, "show", "eval-aaaa")["events"] if e["kind"] == "probed"]
    assert event["severity"] == "warning"


def test_an_event_says_what_was_found(home: Path, engine: Callable) -> None:
    engine(script)
    document(home, "probe", "eval-aaaa", "--max-tokens", "100")
    (event,) = [e for e in document(home, "show", "eval-aaaa")["events"] if e["kind"] == "probed"]
    assert event["message"] == (
        "3 capped responses were made again with up to 100 tokens: 3 end and 2 are right under "
        "r1_zero; accuracy would be 37.5% instead of 12.5%"
    )
    assert (event["data"]["cap"], event["data"]["accuracy_if"]) == (100, 3 / 8)


@pytest.mark.slow
def test_repeating_a_probe_replaces_it(home: Path, engine: Callable) -> None:
    engine(script)
    registry = handmade.open_home(home)
    document(home, "probe", "eval-aaaa", "--close")
    document(home, "probe", "eval-aaaa", "--close", "--limit", "2")
    assert (rows(registry, "probe"), rows(registry, "probed_response")) == (1, 2)
    (found,) = document(home, "diagnose", "eval-aaaa")["probes"]
    assert (found["n"], found["eligible"]) == (2, UNCLOSED)


@pytest.mark.slow
def test_what_does_not_apply_is_noted_beside_what_does(tmp_path: Path, engine: Callable) -> None:
    engine(script)
    answers = [right(10), wrong(11), right(12), right(13), ("so it is 14.", EOS)]
    handmade.record(tmp_path, "eval-bbbb", [evaluation(answers, step=0)], kind="eval")
    found = document(tmp_path, "probe", "eval-bbbb", "--max-tokens", "100", "--close")
    assert [p["kind"] for p in found["probes"]] == ["close"]
    assert found["notes"] == ["0 of 5 responses were stopped by the cap of 8 tokens"]


def test_the_judge_can_be_another_one(home: Path, engine: Callable) -> None:
    engine(script)
    found = document(home, "probe", "eval-aaaa", "--close", "--grader", "strict")
    assert (found["grader"], found["probes"][0]["right"]) == ("strict", 4)


@pytest.mark.slow
def test_a_checkpoint_continues_what_it_began(house: House) -> None:
    run = house.sft("--steps", "2")
    for step in ("0", "2"):
        found = house.json("probe", f"{run}:{step}", "--max-tokens", "20,40", "--close")
        kinds = {p["kind"]: p for p in found["probes"]}
        assert found["step"] == int(step)
        assert kinds["max_tokens"]["n"] > 0
        assert kinds["max_tokens"]["diverged"] == 0
        assert kinds["close"]["n"] >= kinds["max_tokens"]["n"]
    assert "none are kept" in refusal_of(house, run)


def refusal_of(house: House, run: str) -> str:
    """After its checkpoints went."""
    import shutil

    shutil.rmtree(house.home / "runs" / run / "checkpoints")
    result = house.run("probe", f"{run}:2", "--close")
    assert result.exit_code == 2
    return " ".join(result.output.split())


@pytest.mark.slow
def test_weights_are_found_through_the_lineage(house: House) -> None:
    parent = house.sft("--steps", "2")
    options = ("--init", parent, *house.small[2:], "--steps", "2", "-q")
    (made,) = house.json("run", "sft", *options)
    child = made["run"]
    options = ("--engine", "hf", "--max-tokens", "12", "-q")
    (asked,) = house.json("run", "eval", "--run", parent, "--step", "2", *options)
    for reference in (f"{child}:0", asked["run"]):
        (found,) = house.json("probe", reference, "--max-tokens", "20")["probes"]
        assert found["n"] > 0
        assert found["diverged"] == 0
    registry = handmade.open_home(house.home)
    registry.delete_run(registry.find_run(parent).uuid)
    result = house.run("probe", f"{child}:0", "--max-tokens", "20")
    assert result.exit_code == 2
    assert f"are gone with run {parent}, which was deleted" in " ".join(result.output.split())


@pytest.mark.slow
def test_data_with_its_own_prompts_is_asked_as_before(house: House, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    lines = [
        {
            "prompt": f"User: {i} + 1? Assistant: <think>",
            "response": f" </think> <answer> {i + 1} </answer>",
        }
        for i in range(3)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    options = ("--model", str(house.model), "--data", str(path), "--engine", "hf")
    (made,) = house.json("run", "eval", *options, "--max-tokens", "12", "-q")
    (found,) = house.json("probe", made["run"], "--max-tokens", "30")["probes"]
    assert (found["n"], found["diverged"]) == (3, 0)
    path.write_text(json.dumps(lines[0]))
    result = house.run("probe", made["run"], "--max-tokens", "30")
    assert result.exit_code == 2
    assert "has changed since" in " ".join(result.output.split())


DIES = """
import sys, time
import core.registry.probe_writes as writes, trainers.probe as probe
from a5ctl.__main__ import main
def hang(*_, **__):
    print("here", flush=True)
    time.sleep(600)
if {where!r} == "writing":
    writes._row = hang
else:
    probe.finish_answers = hang
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("where", "left"), [("writing", 0), ("closing", 1)])
def test_a_killed_probe_leaves_whole_probes_and_can_be_repeated(
    house: House, where: str, left: int
) -> None:
    run = house.sft("--steps", "2")
    both = ("probe", run, "--max-tokens", "20", "--close")
    process = house.process(*both, entry=("-c", DIES.format(where=where)))
    wait_for_line(process, "here")
    process.kill()
    process.wait()
    registry = handmade.open_home(house.home)
    assert rows(registry, "probe") == left
    kept = rows(registry, "probed_response")
    assert (kept > 0) == (left > 0)
    found = house.json(*both)
    assert [p["kind"] for p in found["probes"]] == ["max_tokens", "close"]
    assert rows(registry, "probe") == 2
    assert rows(registry, "probed_response") == sum(p["n"] for p in found["probes"])


def wait_for_line(process: Started, wanted: str) -> None:
    deadline = time.monotonic() + 300
    for line in process.stdout or ():
        if line.strip() == wanted:
            return
        assert time.monotonic() < deadline
    raise AssertionError("the program ended too early")


@pytest.mark.slow
@pytest.mark.vllm
def test_vllm_continues_what_it_began(house: House) -> None:
    options = ("--model", str(house.model), "--data", str(house.data), "--engine", "vllm")
    (made,) = house.json("run", "eval", *options, "--max-tokens", "12", "-q")
    found = house.json("probe", made["run"], "--max-tokens", "20,40", "--close")
    assert [p["cap"] for p in found["probes"]] == [20, 40, 64]
    assert [p["engine"] for p in found["probes"]] == ["vllm"] * 3
    assert sum(p["diverged"] for p in found["probes"]) == 0
