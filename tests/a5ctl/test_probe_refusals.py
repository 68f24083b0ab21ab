"""What `a5ctl probe` refuses: nothing to look at, no weights, no room, other data."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.a5ctl import handmade
from tests.a5ctl.asking import ask, refusal
from tests.a5ctl.handmade import LENGTH, cut, right, unclosed, wrong
from tests.a5ctl.probing import ANSWERS, evaluation, install_engine, script


@pytest.fixture
def home(tmp_path: Path) -> Path:
    handmade.record(tmp_path, "eval-aaaa", [evaluation(step=0)], kind="eval")
    return tmp_path


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
    assert said in refusal(home, "probe", "eval-aaaa", *arguments)


def test_unknown_runs_and_steps_are_named(home: Path) -> None:
    assert "nobody" in refusal(home, "probe", "nobody", "--close")
    assert "has no evaluation of step 7; it has 0" in refusal(
        home, "probe", "eval-aaaa:7", "--close"
    )


def test_without_capped_responses_the_other_probe_is_named(tmp_path: Path) -> None:
    handmade.record(tmp_path, "eval-open", [evaluation([right(10), unclosed(11)])], kind="eval")
    handmade.record(tmp_path, "eval-fine", [evaluation([right(10), wrong(11)])], kind="eval")
    said = refusal(tmp_path, "probe", "eval-open", "--max-tokens", "100")
    assert "0 of 2 responses were stopped by the cap of 8 tokens; 1 have no closed answer" in said
    assert "a5ctl probe eval-open --close" in said
    said = refusal(tmp_path, "probe", "eval-fine", "--max-tokens", "100")
    assert "--close has nothing to look at either" in said
    said = refusal(tmp_path, "probe", "eval-fine", "--max-tokens", "100", "--close")
    assert "all 2 responses close their answer; there is nothing to probe" in said


def test_responses_from_a_file_have_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "dump.jsonl"
    path.write_text(json.dumps({"question": "q", "response": "so", "answer": "4"}))
    assert ask(tmp_path, "grade", str(path), "--record", "--name", "theirs").exit_code == 0
    said = refusal(tmp_path, "probe", "theirs", "--close")
    assert "came from a file, and the weights that wrote them are not here" in said


def test_responses_that_are_not_stored_are_named(home: Path) -> None:
    with handmade.open_home(home).database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM answer")
    assert "are not in this registry" in refusal(home, "probe", "eval-aaaa", "--max-tokens", "100")


@pytest.mark.slow
def test_weights_that_are_gone_or_changed_are_named(home: Path) -> None:
    handmade.record(home, "sft-aaaa", [evaluation(step=10)])
    said = refusal(home, "probe", "sft-aaaa", "--close")
    assert "the weights of run sft-aaaa at step 10 are gone (none are kept)" in said
    registry = handmade.open_home(home)
    with registry.database.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET model_hash = 'other' WHERE id = 'eval-aaaa'")
    assert "the weights of builtin have changed" in refusal(home, "probe", "eval-aaaa", "--close")


def test_questions_without_their_prompts_are_not_guessed(tmp_path: Path) -> None:
    result = evaluation([cut(10)], step=0)
    generation = replace(result.protocol.generation, data_hash="of other data")
    other = replace(result, protocol=replace(result.protocol, generation=generation))
    handmade.record(tmp_path, "eval-cccc", [other], kind="eval")
    assert "has changed since run eval-cccc was evaluated" in refusal(
        tmp_path, "probe", "eval-cccc", "--close"
    )


LONG = ("so " * 1100, LENGTH)


@pytest.mark.slow
def test_responses_that_fill_the_context_cannot_be_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_engine(monkeypatch, script)
    for name, answers in (("eval-some", [LONG, *ANSWERS[1:3]]), ("eval-full", [LONG])):
        handmade.record(tmp_path, name, [evaluation(answers, step=0)], kind="eval")
    said = " ".join(ask(tmp_path, "probe", "eval-some", "--close").stdout.split())
    assert "1 unclosed responses fill the model's context of 1,024 tokens" in said
    assert "2 unclosed, helped to close their answer (1 of them probed)" in said
    said = refusal(tmp_path, "probe", "eval-full", "--close")
    assert "none of the 1 unclosed responses leaves room to close its answer" in said


def test_a_context_that_is_full_already_leaves_no_larger_cap(tmp_path: Path) -> None:
    question = {0: "so " * 900}
    result = evaluation([cut(10)], step=0, questions=question)
    sampling = replace(result.protocol.generation.sampling, max_tokens=512)
    generation = replace(result.protocol.generation, sampling=sampling)
    full = replace(result, protocol=replace(result.protocol, generation=generation))
    handmade.record(tmp_path, "eval-long", [full], kind="eval")
    said = refusal(tmp_path, "probe", "eval-long", "--max-tokens", "600")
    assert "no cap above 512 fits" in said


def test_boxed_answers_have_no_tags_to_close(tmp_path: Path) -> None:
    result = evaluation([cut(10)], step=0)
    sampling = replace(result.protocol.generation.sampling, stop=())
    generation = replace(result.protocol.generation, sampling=sampling)
    boxed = replace(result, protocol=replace(result.protocol, generation=generation))
    handmade.record(tmp_path, "eval-box", [boxed], kind="eval")
    assert "asks for none" in refusal(tmp_path, "probe", "eval-box", "--close")
