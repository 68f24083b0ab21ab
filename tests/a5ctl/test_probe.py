"""`a5ctl probe`: what the cap cut off, what was never closed, and who counts it."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import trainers.probe
from a5ctl.app import app
from core.engines.base import FinishReason
from core.evaluation import EvaluationResult
from core.models import BUILTIN_PATH, load_tokenizer
from core.provenance import data_hash
from core.registry.store import Registry
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import EOS, LENGTH, STOP, cut, right, unclosed, wrong
from tests.scripted import Script, ScriptedEngine
from tests.warm import Started

ANSWERS = [
    right(10),
    wrong(11),
    cut(12),
    cut(13),
    ("so it is 14.", EOS),
    unclosed(15),
    ("so it </think> <answer> 1", LENGTH),
    ("I do not know.", EOS),
]
CAPPED, UNCLOSED = 3, 6


def evaluation(answers: list = ANSWERS, **options: Any) -> EvaluationResult:
    """As handmade, with a data hash that its problems really have."""
    made = handmade.evaluation(answers, **options)
    generation = replace(made.protocol.generation, data_hash=data_hash(made.problems))
    sampling = replace(generation.sampling, max_tokens=8)
    return replace(
        made,
        protocol=replace(made.protocol, generation=replace(generation, sampling=sampling)),
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    handmade.record(tmp_path, "eval-aaaa", [evaluation(step=0)], kind="eval")
    return tmp_path


def script(prompt: str) -> tuple[str, FinishReason]:
    """Knows every answer but that of p003 and p007; goes on from what it said."""
    found = re.search(r"How many is (\d+) \+ 10\?", prompt)
    assert found is not None
    truth = 10 + int(found[1])
    said = truth if truth not in (13, 17) else 99
    if prompt.endswith("<answer>"):
        return f" {said} </answer>", STOP
    if prompt.endswith("<answer> 1"):
        return "6 </answer>", STOP
    start = dict(enumerate(text for text, _ in ANSWERS))[truth - 10]
    closing = "" if "<answer>" in start else f" so it is {said} </think> <answer> {said}"
    return f"{start}{closing or '6'} </answer>", STOP


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], ScriptedEngine]:
    """Put a scripted engine in place of the real one; the built-in tokenizer and prompts stay."""

    def install(said: Script) -> ScriptedEngine:
        made = ScriptedEngine(load_tokenizer(BUILTIN_PATH), said)
        monkeypatch.setattr(trainers.probe, "build_engine", lambda *_, **__: made)
        return made

    return install


def ask(home: Path, *arguments: str, width: int = 100) -> Result:
    return CliRunner().invoke(
        app, [*arguments, "--home", str(home)], env={"COLUMNS": str(width), "NO_COLOR": "1"}
    )


def document(home: Path, *arguments: str) -> dict:
    result = ask(home, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout, parse_constant=pytest.fail)


def refusal(home: Path, *arguments: str) -> str:
    result = ask(home, "probe", *arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.stderr.split())


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


def test_repeating_a_probe_replaces_it(home: Path, engine: Callable) -> None:
    engine(script)
    registry = handmade.open_home(home)
    document(home, "probe", "eval-aaaa", "--close")
    document(home, "probe", "eval-aaaa", "--close", "--limit", "2")
    assert (rows(registry, "probe"), rows(registry, "probed_response")) == (1, 2)
    (found,) = document(home, "diagnose", "eval-aaaa")["probes"]
    assert (found["n"], found["eligible"]) == (2, UNCLOSED)


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--max-tokens CAP for the 3 capped responses of run eval-aaaa, --close for its 6"),
        (("--max-tokens", "8"), "--max-tokens 8 is not larger than the cap of 8"),
        (("--max-tokens", "100,4"), "--max-tokens 4 is not larger than the cap of 8"),
        (("--max-tokens", "many"), "give whole numbers, such as 2048,4096"),
        (("--max-tokens", ""), "give whole numbers"),
        (("--max-tokens", "5000"), "the largest possible cap is 1013"),
        (("--close", "--grader", "kind"), "grader 'kind' is unknown"),
        (("--close", "--engine", "other"), "engine 'other' is unknown; choose auto, vllm or hf"),
        (("--close", "--device", "tpu"), "device 'tpu' is unknown; choose auto, cpu or cuda"),
    ],
)
def test_bad_input_is_one_sentence(home: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in refusal(home, "eval-aaaa", *arguments)


def test_unknown_runs_and_steps_are_named(home: Path) -> None:
    assert "nobody" in refusal(home, "nobody", "--close")
    assert "has no evaluation of step 7; it has 0" in refusal(home, "eval-aaaa:7", "--close")


def test_without_capped_responses_the_other_probe_is_named(tmp_path: Path) -> None:
    handmade.record(tmp_path, "eval-open", [evaluation([right(10), unclosed(11)])], kind="eval")
    handmade.record(tmp_path, "eval-fine", [evaluation([right(10), wrong(11)])], kind="eval")
    said = refusal(tmp_path, "eval-open", "--max-tokens", "100")
    assert "0 of 2 responses were stopped by the cap of 8 tokens; 1 have no closed answer" in said
    assert "a5ctl probe eval-open --close" in said
    said = refusal(tmp_path, "eval-fine", "--max-tokens", "100")
    assert "--close has nothing to look at either" in said
    said = refusal(tmp_path, "eval-fine", "--max-tokens", "100", "--close")
    assert "all 2 responses close their answer; there is nothing to probe" in said


def test_responses_from_a_file_have_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "dump.jsonl"
    path.write_text(json.dumps({"question": "q", "response": "so", "answer": "4"}))
    assert ask(tmp_path, "grade", str(path), "--record", "--name", "theirs").exit_code == 0
    said = refusal(tmp_path, "theirs", "--close")
    assert "came from a file, and the weights that wrote them are not here" in said


def test_responses_that_are_not_stored_are_named(home: Path) -> None:
    with handmade.open_home(home).database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM answer")
    assert "are not in this registry" in refusal(home, "eval-aaaa", "--max-tokens", "100")


def test_weights_that_are_gone_or_changed_are_named(home: Path) -> None:
    handmade.record(home, "sft-aaaa", [evaluation(step=10)])
    said = refusal(home, "sft-aaaa", "--close")
    assert "the weights of run sft-aaaa at step 10 are gone (none are kept)" in said
    registry = handmade.open_home(home)
    with registry.database.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET model_hash = 'other' WHERE id = 'eval-aaaa'")
    assert "the weights of builtin have changed" in refusal(home, "eval-aaaa", "--close")


def test_questions_without_their_prompts_are_not_guessed(tmp_path: Path) -> None:
    result = evaluation([cut(10)], step=0)
    generation = replace(result.protocol.generation, data_hash="of other data")
    other = replace(result, protocol=replace(result.protocol, generation=generation))
    handmade.record(tmp_path, "eval-cccc", [other], kind="eval")
    assert "has changed since run eval-cccc was evaluated" in refusal(
        tmp_path, "eval-cccc", "--close"
    )


LONG = ("so " * 1100, LENGTH)


def test_responses_that_fill_the_context_cannot_be_closed(tmp_path: Path, engine: Callable) -> None:
    engine(script)
    for name, answers in (("eval-some", [LONG, *ANSWERS[1:3]]), ("eval-full", [LONG])):
        handmade.record(tmp_path, name, [evaluation(answers, step=0)], kind="eval")
    said = " ".join(ask(tmp_path, "probe", "eval-some", "--close").stdout.split())
    assert "1 unclosed responses fill the model's context of 1,024 tokens" in said
    assert "2 unclosed, helped to close their answer (1 of them probed)" in said
    said = refusal(tmp_path, "eval-full", "--close")
    assert "none of the 1 unclosed responses leaves room to close its answer" in said


def test_a_context_that_is_full_already_leaves_no_larger_cap(tmp_path: Path) -> None:
    question = {0: "so " * 900}
    result = evaluation([cut(10)], step=0, questions=question)
    sampling = replace(result.protocol.generation.sampling, max_tokens=512)
    generation = replace(result.protocol.generation, sampling=sampling)
    full = replace(result, protocol=replace(result.protocol, generation=generation))
    handmade.record(tmp_path, "eval-long", [full], kind="eval")
    said = refusal(tmp_path, "eval-long", "--max-tokens", "600")
    assert "no cap above 512 fits" in said


def test_boxed_answers_have_no_tags_to_close(tmp_path: Path) -> None:
    result = evaluation([cut(10)], step=0)
    sampling = replace(result.protocol.generation.sampling, stop=())
    generation = replace(result.protocol.generation, sampling=sampling)
    boxed = replace(result, protocol=replace(result.protocol, generation=generation))
    handmade.record(tmp_path, "eval-box", [boxed], kind="eval")
    assert "asks for none" in refusal(tmp_path, "eval-box", "--close")


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
