"""`a5ctl grade`: responses of other tools, with and without a registry."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from core.engines.base import FinishReason
from core.registry.live_runs import RECORDER_LOCK
from core.registry.lock import FileLock
from tests.a5ctl import handmade
from tests.a5ctl.asking import ask, document
from tests.a5ctl.handmade import Answer, cut, evaluation, right, unclosed, wrong

HOSTILE = "\x1b[31mred\x1b]0;title\x07 [bold]markup[/bold] [/] \u202egnp\u2066 \x9b2J \r"
ANSWERS = [right(10), wrong(11), unclosed(12), unclosed(13), cut(14)]
TOLD = {
    FinishReason.STOP_STRING: "stop",
    FinishReason.EOS: "stop",
    FinishReason.LENGTH: "length",
}


def line(index: int, answer: Answer, **more: Any) -> dict[str, Any]:
    text, finish = answer
    question = {"prompt": f"How many is {index} + 10?", "answer": str(10 + index)}
    return {**question, "completion": text, "finish_reason": TOLD[finish], **more}


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in lines), encoding="utf-8")
    return path


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    return write(tmp_path / "trl.jsonl", [line(i, answer) for i, answer in enumerate(ANSWERS)])


def test_a_file_is_diagnosed_like_a_run(dump: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    found = document(home, "grade", dump)
    handmade.record(home, "r-same", [evaluation(ANSWERS)])
    stored = document(home, "diagnose", "r-same")
    same = ("n", "accuracy", "accuracy_by_grader", "type1", "type2", "type3", "unclosed")
    same += ("unparseable", "numeric", "truncated", "failures", "format_and_math", "flags")
    assert {key: found[key] for key in same} == {key: stored[key] for key in same}
    counts = [{row["class"]: row["count"] for row in side["classes"]} for side in (found, stored)]
    assert counts[0] == counts[1]
    assert found["verdict"]["headline"] == stored["verdict"]["headline"]
    assert (found["run"], found["file"], found["steps"]) == (None, "trl.jsonl", [0])


def test_nothing_is_made_unless_asked_for(dump: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    assert ask(home, "grade", dump).exit_code == 0
    assert list(home.iterdir()) == []


def test_what_a_person_sees(dump: Path, tmp_path: Path) -> None:
    text = ask(tmp_path, "grade", dump, "--examples", "1").stdout
    assert "trl.jsonl  step 0  file of trl.jsonl  n 5" in text
    assert "decoding not recorded, lengths by the tokenizer builtin" in text
    assert "unclosed_answer: 1 of 2" in text
    assert "How many is" in text
    assert f"a5ctl grade {dump} --record" in text


def test_an_ending_that_nobody_recorded_is_unknown(tmp_path: Path) -> None:
    lines = [line(0, unclosed(10)), line(1, cut(11)), line(2, right(12))]
    for record in lines:
        del record["finish_reason"]
    found = document(tmp_path, "grade", write(tmp_path / "d.jsonl", lines))
    assert {row["class"]: row["count"] for row in found["classes"]} == {"unknown_stop": 2}


def test_a_stop_string_that_was_cut_off_is_noticed_and_put_back(dump: Path, tmp_path: Path) -> None:
    text = ask(tmp_path, "grade", dump).stdout
    assert "2 stop inside an open answer: many tools cut the stop string off; put it back" in text
    found = document(tmp_path, "grade", dump, "--restore-stop")
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["unclosed"] == 1


def test_boxed_answers_are_noticed(tmp_path: Path) -> None:
    boxed = [line(i, (f"so \\boxed{{{10 + i}}}", FinishReason.EOS)) for i in range(3)]
    path = write(tmp_path / "math.jsonl", boxed)
    text = ask(tmp_path, "grade", path).stdout
    assert f"a5ctl grade {path} --grader question_only" in text
    assert document(tmp_path, "grade", path, "--grader", "question_only")["accuracy"] == 1


def test_the_prompt_tells_what_is_a_copied_placeholder(tmp_path: Path) -> None:
    prompt = "Answer as <think> reasoning here </think> <answer> final result </answer>: 2+2?"
    copied = (" reasoning here </think> <answer> final result </answer>", FinishReason.EOS)
    path = write(tmp_path / "d.jsonl", [line(0, copied, prompt=prompt)])
    found = document(tmp_path, "grade", path)
    assert found["flags"]["template_copy"] == 1
    assert found["classes"][0]["class"] == "placeholder_answer"
    bare = write(tmp_path / "bare.jsonl", [line(0, copied)])
    assert document(tmp_path, "grade", bare)["flags"]["template_copy"] == 0
    template = tmp_path / "mine.prompt"
    template.write_text(prompt + " {question} <think>", encoding="utf-8")
    found = document(tmp_path, "grade", bare, "--prompt", template)
    assert found["flags"]["template_copy"] == 1


def test_lengths_are_counted_by_the_tokenizer_that_is_named(dump: Path, tmp_path: Path) -> None:
    from core.models import BUILTIN_PATH

    response = document(tmp_path, "grade", dump)["lengths"][0]
    assert response["right"]["mean"] > 10
    assert document(tmp_path, "grade", dump, "--tokenizer", BUILTIN_PATH)["lengths"][0] == response


def test_standard_input_is_read(dump: Path, tmp_path: Path) -> None:
    found = document(tmp_path, "grade", "-", given=dump.read_text())
    assert (found["n"], found["file"]) == (5, "stdin")


@pytest.mark.slow
def test_a_recorded_file_is_a_run_like_others(dump: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    options = ("--record", "--name", "trl", "--model", "Qwen/Qwen2.5", "--group", "theirs")
    run = document(home, "grade", dump, *options)["run"]
    (listed,) = document(home, "ls")
    assert listed["id"] == run
    assert (listed["kind"], listed["status"], listed["name"]) == ("eval", "finished", "trl")
    assert (listed["model"], listed["group"], listed["n"]) == ("Qwen/Qwen2.5", "theirs", 5)
    assert document(home, "show", "trl")["provenance"]["dump"]["bytes"] == dump.stat().st_size
    diagnosed = document(home, "diagnose", "trl")
    fresh = document(home, "grade", dump)
    assert diagnosed["classes"] == fresh["classes"]
    assert diagnosed["lengths"] == fresh["lengths"]
    assert diagnosed["fingerprints"] == fresh["fingerprints"]
    advice = " ".join(item["command"] for item in diagnosed["verdict"]["advice"])
    assert "a5ctl run" not in advice
    assert ask(home, "compare").exit_code == 0
    assert document(home, "regrade", "trl")["responses"] == 0


@pytest.mark.slow
def test_two_recorded_files_are_compared_on_the_same_problems(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = [line(i, wrong(10 + i)) for i in range(6)]
    second = [line(i, right(10 + i)) for i in (3, 5, 1, 0, 2, 4)]
    before = document(home, "grade", write(tmp_path / "a.jsonl", first), "--record")["run"]
    after = document(home, "grade", write(tmp_path / "b.jsonl", second), "--record")["run"]
    found = document(home, "diagnose", after, "--against", before)["against"]
    assert found["test"]["n"] == found["test"]["only_b"] == 6
    assert found["protocols"]["blocking"] == []


def test_a_file_is_never_tested_against_an_evaluation_in_silence(tmp_path: Path) -> None:
    lines = [line(i, answer, problem_id=f"p{i:03d}") for i, answer in enumerate(ANSWERS)]
    run = document(tmp_path, "grade", write(tmp_path / "d.jsonl", lines), "--record")["run"]
    handmade.record(tmp_path, "r-ours", [evaluation(ANSWERS)])
    found = document(tmp_path, "diagnose", run, "--against", "r-ours")["against"]
    assert (found["n"], found["test"]) == (5, None)
    assert "temperature" in found["not_tested"]


@pytest.mark.slow
def test_steps_in_a_file_are_evaluations(tmp_path: Path) -> None:
    lines = [line(i, wrong(10 + i), step=5) for i in range(2)]
    lines += [line(i, right(10 + i), step=10) for i in range(3)]
    path = write(tmp_path / "steps.jsonl", lines)
    found = document(tmp_path, "grade", path)
    assert (found["step"], found["steps"], found["n"]) == (10, [5, 10], 3)
    assert document(tmp_path, "grade", path, "--step", "5")["accuracy"] == 0
    assert "the file holds 2 steps: 5, 10" in ask(tmp_path, "grade", path).stdout
    run = document(tmp_path, "grade", path, "--record")["run"]
    mix = document(tmp_path, "diagnose", run, "--by", "step")
    assert (mix["steps"], mix["classes"][0]["counts"]) == ([5, 10], [0, 3])


def test_the_same_question_again_is_another_sample(tmp_path: Path) -> None:
    lines = [line(0, right(10)), line(0, wrong(10)), line(1, wrong(11), id="mine")]
    run = document(tmp_path, "grade", write(tmp_path / "n.jsonl", lines), "--record")["run"]
    survey = document(tmp_path, "diagnose", run, "--by", "problem")
    assert [problem["solved"] for problem in survey["problems"]] == [[0.5], [0]]
    assert survey["problems"][1]["problem"] == "mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file"),
        ("", "holds no responses"),
        ("\n\n", "holds no responses"),
        ('{"prompt": "q", "completion": "r", "answer": "1"}\n{oops', "d.jsonl:2: the line is not"),
        ('{"prompt": "q"}', "d.jsonl:1: no field holds the truth"),
    ],
)
def test_a_bad_file_is_one_sentence_and_makes_no_run(
    tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "d.jsonl"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    result = ask(tmp_path / "home", "grade", path, "--record", width=1000)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--grader", "kind"), "grader 'kind' is unknown"),
        (("--class", "luck"), "failure class 'luck' is unknown"),
        (("--step", "3"), "trl.jsonl has no responses of step 3; it has 0"),
        (("--name", "x"), "belong to --record"),
        (("--tokenizer", "nowhere"), "tokenizer 'nowhere' is neither"),
        (("--prompt", "nowhere"), "prompt 'nowhere' is neither"),
    ],
)
def test_bad_options_are_refused(
    dump: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = ask(tmp_path, "grade", dump, *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_hostile_text_never_reaches_the_terminal_raw(
    tmp_path: Path, extra: tuple[str, ...]
) -> None:
    hostile = (f"{HOSTILE}</think> <answer> {HOSTILE} </answer>", FinishReason.STOP_STRING)
    path = write(tmp_path / "h.jsonl", [line(0, hostile, prompt=HOSTILE, id=HOSTILE)])
    result = ask(tmp_path, "grade", path, *extra)
    assert result.exit_code == 0
    assert not set(result.stdout) & set("\x1b\x07\u202e\u2066\x9b\r")
    path = write(tmp_path / "bad.jsonl", [{HOSTILE: 1}])
    assert not set(ask(tmp_path, "grade", path).output) & set("\x1b\x07\u202e\u2066\x9b\r")


@pytest.mark.slow
def test_a_problem_never_gets_a_name_that_is_taken(tmp_path: Path) -> None:
    bare = [line(0, right(10)), line(1, wrong(11))]
    made = document(tmp_path, "grade", write(tmp_path / "a.jsonl", bare), "--record")["run"]
    survey = document(tmp_path, "diagnose", made, "--by", "problem")
    names = sorted(problem["problem"] for problem in survey["problems"])
    # another problem that is already called what the second one would be called
    thief = [line(7, wrong(17), id=name) for name in names] + [line(8, wrong(18), id=names[0])]
    lines = [*thief, *bare]
    run = document(tmp_path, "grade", write(tmp_path / "b.jsonl", lines), "--record")["run"]
    survey = document(tmp_path, "diagnose", run, "--by", "problem")
    found = [problem["problem"] for problem in survey["problems"]]
    assert len(found) == len(set(found)) == 4


def test_many_responses_are_stored_in_order_and_in_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.registry import response_writes

    sizes = []
    insert = response_writes._insert_batch

    def counted(connection: Any, owner: Any, names: Any, batch: Any, last: int) -> int:
        sizes.append(len(batch))
        return insert(connection, owner, names, batch, last)

    monkeypatch.setattr(response_writes, "_BATCH", 3)
    monkeypatch.setattr(response_writes, "_insert_batch", counted)
    lines = [line(i % 4, right(10 + i % 4) if i % 3 else wrong(10 + i % 4)) for i in range(8)]
    run = document(tmp_path, "grade", write(tmp_path / "d.jsonl", lines), "--record")["run"]
    assert sizes == [3, 3, 2]
    registry = handmade.open_home(tmp_path)
    (stored,) = registry.evaluations([registry.find_run(run).uuid])
    responses = registry.responses(stored.uuid)
    assert [response.sample for response in responses] == [0] * 4 + [1] * 4
    right_ones = [response.grades["r1_zero"].right for response in responses]
    assert right_ones == [bool(i % 3) for i in range(8)]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [run]


@pytest.mark.slow
def test_a_run_folder_that_cannot_be_written_makes_no_run(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    home = tmp_path / "home"
    with monkeypatch.context() as patch:
        patch.setattr("core.registry.new_folders.replacing", full)
        result = ask(home, "grade", dump, "--record", width=1000)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "No space left on device" in result.stderr
    assert list((home / "runs").iterdir()) == []
    assert handmade.open_home(home).runs() == []
    assert document(home, "grade", dump, "--record")["run"]


def test_what_a_kill_left_of_a_run_folder_goes_with_the_next_one(
    dump: Path, tmp_path: Path
) -> None:
    for name in (".making-old", ".making-young", ".making-held"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / ".journal.jsonl.partial").write_text("{")
    with FileLock(tmp_path / "runs" / ".making-held" / RECORDER_LOCK):
        for name in ("old", "held"):
            os.utime(tmp_path / "runs" / f".making-{name}", (1, 1))
        run = document(tmp_path, "grade", dump, "--record")["run"]
    left = {path.name for path in (tmp_path / "runs").iterdir()}
    assert left == {run, ".making-young", ".making-held"}


@pytest.mark.parametrize("width", [60, 80, 140])
def test_lines_fit_the_terminal(dump: Path, tmp_path: Path, width: int) -> None:
    lines = ask(tmp_path, "grade", dump, width=width).stdout.splitlines()
    assert max(len(text) for text in lines if not text.startswith("  a5ctl")) <= width
