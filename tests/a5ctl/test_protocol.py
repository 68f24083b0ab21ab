"""`a5ctl protocol`, and evaluations that follow another one's protocol."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.protocol import BLOCKING_FIELDS, EvaluationProtocol
from core.responses.names import GRADER_VERSIONS, GraderName
from tests.a5ctl import handmade
from tests.a5ctl.asking import ask, document
from tests.a5ctl.conftest import House, write_problems
from tests.a5ctl.handmade import evaluation, right, wrong

HOSTILE = "Ask \x1b[31m{question}\u202e"
ANSWERS = [right(10), wrong(11), right(12)]


def asked_by(prompt: str, made: EvaluationProtocol) -> EvaluationProtocol:
    return replace(made, generation=replace(made.generation, prompt_text=prompt))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("protocols")
    plain = handmade.protocol(data_hash="d4" * 32)
    other = handmade.protocol(grader=GraderName.STRICT, max_tokens=512, seed=3, data_hash="d4" * 32)
    steps = [evaluation(ANSWERS, step=step, protocol=plain) for step in (0, 10)]
    handmade.record(folder, "sft-3-aaaa", steps)
    handmade.record(folder, "sft-3-bbbb", [evaluation(ANSWERS, protocol=other)])
    hostile = asked_by(HOSTILE, plain)
    mixed = [evaluation(ANSWERS, step=0, protocol=other), evaluation(ANSWERS, protocol=hostile)]
    handmade.record(folder, "sft-3-cccc", mixed)
    return folder


@pytest.mark.parametrize("width", [80, 140])
def test_show_names_every_field_and_both_hashes(home: Path, width: int) -> None:
    result = ask(home, "protocol", "show", "sft-3-aaaa", width=width)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= width
    stored = document(home, "protocol", "show", "sft-3-aaaa")
    assert all(name in result.stdout for name in {**stored["generation"], **stored["grading"]})
    assert all(digits in result.stdout for digits in stored["fingerprints"].values())
    assert "d4" * 32 in result.stdout
    assert "| Question {question}" in result.stdout
    assert "2 evaluations of the run were made so: steps 0, 10" in result.stdout


def test_show_as_json_is_what_the_registry_holds(home: Path) -> None:
    found = document(home, "protocol", "show", "sft-3-cccc:0")
    stored = handmade.open_home(home)
    first = stored.evaluations([stored.find_run("sft-3-cccc").uuid])[0]
    assert {**found["generation"], **found["grading"]} == first.protocol
    assert found["fingerprints"] == {"generation": first.generation, "grading": first.grading}
    assert found["source"]["step"] == 0
    assert found["source"]["problems"] == 3
    assert found["source"]["held_out"] is True
    assert set(found["forbids_paired_test"]) == set(BLOCKING_FIELDS)


def test_a_run_whose_evaluations_differ_says_so(home: Path) -> None:
    text = ask(home, "protocol", "show", "sft-3-cccc").stdout
    assert "a5ctl protocol show sft-3-cccc:0" in text


def test_a_file_stands_for_the_evaluation_it_was_written_from(home: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "p.toml")
    result = ask(home, "protocol", "show", "sft-3-cccc", "--out", path)
    assert result.exit_code == 0, result.output
    assert ask(home, "protocol", "diff", path, "sft-3-cccc").exit_code == 0
    assert "sft-3-cccc" not in ask(home, "protocol", "show", path).stdout.splitlines()[0]
    again = ask(home, "protocol", "show", "sft-3-aaaa", "--out", path)
    assert again.exit_code == 2
    assert "exists already" in " ".join(again.output.split())
    assert ask(home, "protocol", "show", "sft-3-aaaa", "--out", path, "--force").exit_code == 0
    assert "end with .toml" in ask(home, "protocol", "show", "sft-3-aaaa", "--out", "p.txt").output


def test_diff_tells_what_forbids_a_test_from_what_only_warns(home: Path) -> None:
    found = document(home, "protocol", "diff", "sft-3-aaaa", "sft-3-bbbb", code=1)
    effects = {d["field"]: (d["a"], d["b"], d["effect"]) for d in found["differences"]}
    assert effects == {
        "grader": ("r1_zero", "strict", "forbids a paired test"),
        "max_tokens": (256, 512, "forbids a paired test"),
        "seed": (0, 3, "only warns"),
    }
    assert (found["same"], found["paired_test"]) == (False, False)
    text = ask(home, "protocol", "diff", "sft-3-aaaa", "sft-3-bbbb").stdout
    assert text.index("forbids") < text.index("max_tokens") < text.index("only warns")
    assert "no paired test unless --force" in text


@pytest.mark.slow
def test_diff_exits_like_diff(home: Path) -> None:
    same = ask(home, "protocol", "diff", "sft-3-aaaa:0", "sft-3-aaaa:last")
    assert (same.exit_code, "no field differs" in same.stdout) == (0, True)
    assert ask(home, "protocol", "diff", "sft-3-aaaa", "sft-3-cccc").exit_code == 1
    for missing in ("sft-3-zzzz", "sft-3-aaaa:7", "none.toml"):
        result = ask(home, "protocol", "diff", "sft-3-aaaa", missing)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert "Traceback" not in result.output


def test_prompts_are_shown_as_a_diff_without_their_escape_codes(home: Path) -> None:
    for arguments in (("diff", "sft-3-aaaa", "sft-3-cccc"), ("show", "sft-3-cccc")):
        text = ask(home, "protocol", *arguments).stdout
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "Ask \\x1b[31m{question}\\u202e" in text
    diff = ask(home, "protocol", "diff", "sft-3-aaaa", "sft-3-cccc").stdout
    assert "-Question {question}" in diff
    assert "+Ask " in diff


def test_white_space_that_differs_is_made_visible(tmp_path: Path) -> None:
    for name, prompt in (("a", "one two\n{question}"), ("b", "one  two\n{question}")):
        made = evaluation(ANSWERS, protocol=asked_by(prompt, handmade.protocol()))
        handmade.record(tmp_path, f"sft-3-{name * 4}", [made])
    text = ask(tmp_path, "protocol", "diff", "sft-3-aaaa", "sft-3-bbbb").stdout
    assert "-one\u00b7two" in text
    assert "+one\u00b7\u00b7two" in text


def test_compare_points_to_the_values_that_differ(home: Path) -> None:
    (warning,) = document(home, "compare", "sft-3-aaaa", "sft-3-bbbb")["warnings"]
    assert "a5ctl protocol diff sft-3-aaaa sft-3-bbbb" in warning


@pytest.mark.slow
def test_a_forced_test_pairs_only_what_asks_the_same(tmp_path: Path) -> None:
    """The same id in other data may be another question."""
    handmade.record(tmp_path, "sft-3-aaaa", [evaluation(ANSWERS)])
    other = handmade.protocol(data_hash="e5" * 32)
    moved = evaluation(ANSWERS, protocol=other, questions={1: "Another question"})
    handmade.record(tmp_path, "sft-3-bbbb", [moved])
    elsewhere = handmade.protocol(data_hash="f6" * 32)
    strange = evaluation(ANSWERS[:1], protocol=elsewhere, questions={0: "Nothing of the kind"})
    handmade.record(tmp_path, "sft-3-cccc", [strange])
    command = ("compare", "sft-3-bbbb", "sft-3-cccc", "--baseline", "sft-3-aaaa")
    refused = outcomes_of(document(tmp_path, *command))
    assert set(refused.values()) == {"data_hash differs; --force tests anyway"}
    assert outcomes_of(document(tmp_path, *command, "--force")) == {
        "sft-3-bbbb": 2,
        "sft-3-cccc": "no problem was asked in both",
    }


def outcomes_of(comparison: Any) -> dict[str, Any]:
    """Problems of each paired test, or why there is none."""
    rows = {r["run"]: r["paired"] for cell in comparison["cells"] for r in cell["runs"]}
    return {
        run: paired["comparison"]["n"] if paired["comparison"] else paired["refused"]
        for run, paired in rows.items()
        if paired is not None
    }


# --- following a protocol -------------------------------------------------------------------------


def eval_options(house: House) -> tuple[str, ...]:
    return ("--model", str(house.model), "--data", str(house.data), "--engine", "hf", "--quiet")


@pytest.mark.slow
def test_a_run_is_evaluated_exactly_as_another_evaluation(house: House, tmp_path: Path) -> None:
    trained = house.sft("--steps", "1")
    template = tmp_path / "mine.prompt"
    template.write_text("Say {question}\nShort: <think>")
    (origin,) = house.json(
        *("run", "eval", *eval_options(house), "--prompt", str(template), "--max-tokens", "7"),
        *("--temperature", "0.7", "--seed", "3", "--eval-limit", "5", "--grader", "strict"),
        *("--set", "evaluation.n=2", "--set", "evaluation.top_p=0.9"),
        *("--set", "evaluation.min_tokens=2", "--set", 'evaluation.stop=["</answer>", "!"]'),
    )
    template.unlink()
    (followed,) = house.json("run", "eval", "--run", trained, "--protocol", origin["run"], "-q")
    same = house.run("protocol", "diff", origin["run"], followed["run"])
    assert same.exit_code == 0, same.output
    found = house.json("compare", origin["run"], followed["run"], "--baseline", origin["run"])
    assert found["warnings"] == []
    (paired,) = [
        r["paired"] for c in found["cells"] for r in c["runs"] if r["run"] == followed["run"]
    ]
    assert paired["comparison"]["n"] == 5
    assert "data.evaluation_hash" not in found["varying"]
    settings = next(c["settings"] for c in found["cells"] if c["runs"][0]["run"] == followed["run"])
    assert len(settings["prompt.text"]) == 8  # a mark in a column, not a whole template
    config = house.home / "runs" / followed["run"] / "config.toml"
    (again,) = house.json("run", "eval", "--config", str(config), "--quiet")
    assert house.run("protocol", "diff", again["run"], followed["run"]).exit_code == 0


@pytest.mark.slow
def test_a_file_serves_where_the_origin_is_unknown(house: House, tmp_path: Path) -> None:
    (origin,) = house.json("run", "eval", *eval_options(house), "--max-tokens", "5")
    path = str(tmp_path / "p.toml")
    assert house.run("protocol", "show", origin["run"], "--out", path).exit_code == 0
    elsewhere = House(tmp_path / "elsewhere", house.model, house.data)
    (followed,) = elsewhere.json(
        *("run", "eval", "--model", str(house.model), "--protocol", path, "--quiet")
    )
    assert elsewhere.run("protocol", "diff", path, followed["run"]).exit_code == 0


@pytest.mark.slow
def test_the_held_out_part_of_a_single_file_stays_the_question(
    house: House, tmp_path: Path
) -> None:
    path = tmp_path / "one.jsonl"
    write_problems(path, 40)
    trained = house.sft("--data", str(path), "--steps", "1")
    (followed,) = house.json("run", "eval", "--run", trained, "--protocol", trained, "--quiet")
    result = house.run("protocol", "diff", trained, followed["run"])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def settled(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[House, str]:
    """An evaluation whose data lies in a folder of its own; tests put back what they change."""
    folder = tmp_path_factory.mktemp("settled")
    shutil.copytree(small_folder / "data", folder / "data")
    house = House(folder / "home", small_folder / "model", folder / "data")
    (origin,) = house.json("run", "eval", *eval_options(house), "--max-tokens", "4")
    return house, origin["run"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--temperature", "0.5"), "--temperature 0.5 contradicts the protocol of"),
        (("--max-tokens", "5"), "which has max_tokens 4"),
        (("--eval-limit", "3"), "which asks all 12 problems"),
        (("--split", "train"), "which has split test"),
        (("--grader", "strict"), "which has grader r1_zero"),
        (("--prompt", "question_only"), "--prompt question_only contradicts"),
        (("--seed", "1"), "samples with seed 0"),
        (("--set", "evaluation.n=4"), "--set evaluation.n=4 contradicts"),
        (("--config", "x.toml"), "--config and --protocol both say how to evaluate"),
    ],
)
def test_an_option_that_contradicts_is_refused(
    settled: tuple[House, str], arguments: tuple[str, ...], message: str
) -> None:
    house, origin = settled
    model = ("--model", str(house.model))
    result = house.run("run", "eval", *model, "--protocol", origin, *arguments)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())


def test_options_that_agree_are_taken(settled: tuple[House, str]) -> None:
    house, origin = settled
    agreeing = (
        "--max-tokens",
        "4",
        "--temperature",
        "0",
        "--seed",
        "0",
        "--prompt",
        "think_answer",
    )
    options = ("--model", str(house.model), "--protocol", origin, "--name", "again", "--quiet")
    assert house.run("run", "eval", *options, *agreeing).exit_code == 0


def test_other_problems_are_refused_and_a_copy_is_taken(
    settled: tuple[House, str], tmp_path: Path
) -> None:
    house, origin = settled
    follow = ("run", "eval", "--model", str(house.model), "--protocol", origin, "--quiet")
    copy = tmp_path / "data"
    shutil.copytree(house.data, copy)
    house.data.rename(house.data.with_name("moved"))
    try:
        gone = house.run(*follow)
        assert gone.exit_code == 2
        assert "nothing is there now; name a copy with --data" in " ".join(gone.output.split())
        assert house.run(*follow, "--data", str(copy)).exit_code == 0
        write_problems(copy / "test.jsonl", 12, offset=7)
        changed = house.run(*follow, "--data", str(copy))
        assert changed.exit_code == 2
        assert "are not those that were recorded" in " ".join(changed.output.split())
    finally:
        house.data.with_name("moved").rename(house.data)


def test_an_older_grader_is_refused(
    settled: tuple[House, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    house, origin = settled
    now = GRADER_VERSIONS[GraderName.R1_ZERO]
    monkeypatch.setitem(GRADER_VERSIONS, GraderName.R1_ZERO, 7)
    result = house.run("run", "eval", "--model", str(house.model), "--protocol", origin)
    assert result.exit_code == 2
    said = " ".join(result.output.split())
    assert f"graded by version {now} of r1_zero, and this a5ctl has version 7" in said


@pytest.mark.slow
def test_another_tools_decoding_cannot_be_followed(house: House, tmp_path: Path) -> None:
    dump = tmp_path / "dump.jsonl"
    dump.write_text(json.dumps({"question": "1+1?", "response": " 2", "answer": "2"}) + "\n")
    run = house.json("grade", str(dump), "--record")["run"]
    assert "not every field was recorded" in house.run("protocol", "show", run).stdout
    path = str(tmp_path / "p.toml")
    assert house.run("protocol", "show", run, "--out", path).exit_code == 0
    same = house.run("protocol", "diff", run, path)
    assert same.exit_code == 0
    assert "recorded on neither side" in same.stdout
    assert "not known for sure" in same.stdout
    result = house.run("run", "eval", "--model", str(house.model), "--protocol", run)
    assert result.exit_code == 2
    assert "does not say temperature, top_p, max_tokens" in " ".join(result.output.split())


def test_a_prompt_that_asks_nothing_is_refused(settled: tuple[House, str], tmp_path: Path) -> None:
    house, origin = settled
    path = tmp_path / "p.toml"
    assert house.run("protocol", "show", origin, "--out", str(path)).exit_code == 0
    text = path.read_text().partition("[fingerprints]")[0]
    path.write_text(text.replace("{question}", "the question"))
    result = house.run("run", "eval", "--model", str(house.model), "--protocol", str(path))
    assert result.exit_code == 2
    assert "prompt.text has no {question} field" in " ".join(result.output.split())


def test_an_engine_that_is_missing_is_replaced_and_named(
    settled: tuple[House, str], tmp_path: Path
) -> None:
    house, origin = settled
    path = tmp_path / "p.toml"
    assert house.run("protocol", "show", origin, "--out", str(path)).exit_code == 0
    text = path.read_text().partition("[fingerprints]")[0]
    path.write_text(text.replace('engine_version = "', 'engine_version = "0.'))
    result = house.run(
        *("run", "eval", "--model", str(house.model), "--protocol", str(path), "--quiet")
    )
    assert result.exit_code == 0, result.output
    assert "protocol: recorded with hf 0." in result.stderr
    runs = handmade.open_home(house.home).runs()
    found = house.json("compare", origin, runs[0].id, "--baseline", origin)
    assert found["warnings"] == []
