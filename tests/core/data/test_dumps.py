"""Spellings of other tools, and lines that cannot be used."""

import json
from typing import Any

import pytest

from core.data.dumps import DumpedResponse, parse_line, read_dump, restore_stop
from core.engines.base import FinishReason
from core.errors import UserError

PLAIN = {"question": "2+2?", "response": " 4 </think> <answer> 4 </answer>", "answer": "4"}


def parse(**changes: Any) -> list[DumpedResponse]:
    return list(parse_line(json.dumps({**PLAIN, **changes}).encode(), "f:1"))


def only(record: dict[str, Any]) -> DumpedResponse:
    (found,) = parse_line(json.dumps(record).encode(), "f:1")
    return found


@pytest.mark.parametrize(
    "record",
    [
        PLAIN,
        {"prompt": "2+2?", "completion": PLAIN["response"], "answer": 4},
        {"input": "2+2?", "output": PLAIN["response"], "gts": ["4"], "score": 1.0, "step": 7},
        {"input": "2+2?", "output": PLAIN["response"], "gts": {"ground_truth": "4"}},
        {
            "doc_id": 0,
            "doc": {"question": "2+2?", "answer": "two and two\n#### 4"},
            "target": "two and two\n#### 4",
            "resps": [[PLAIN["response"]]],
        },
        {
            "prompt": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "2+2?"},
            ],
            "completion": [{"role": "assistant", "content": PLAIN["response"]}],
            "solution": "so it is $\\boxed{4}$.",
        },
        {
            "query": "2+2?",
            "prediction": PLAIN["response"],
            "reward_model": {"ground_truth": "4", "style": "rule"},
        },
    ],
    ids=["plain", "trl", "verl", "verl-dict", "lm-eval", "chat", "reward-model"],
)
def test_common_spellings_say_the_same(record: dict[str, Any]) -> None:
    found = only(record)
    assert (found.question, found.truth, found.text) == ("2+2?", "4", PLAIN["response"])


def test_the_truth_wins_over_an_answer_of_the_model() -> None:
    assert parse(ground_truth="5", answer="4")[0].truth == "5"


def test_several_responses_on_a_line_are_samples() -> None:
    texts = [found.text for found in parse(response=["a", "b", ""])]
    assert texts == ["a", "b", ""]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, FinishReason.UNKNOWN),
        ({"finish_reason": None}, FinishReason.UNKNOWN),
        ({"finish_reason": "abort"}, FinishReason.UNKNOWN),
        ({"finish_reason": "length"}, FinishReason.LENGTH),
        ({"stop_reason": "max_tokens"}, FinishReason.LENGTH),
        ({"finish_reason": "stop"}, FinishReason.STOP_STRING),
        ({"finish_reason": "stop", "response": "no answer"}, FinishReason.EOS),
        ({"finish": "stop_string"}, FinishReason.STOP_STRING),
        ({"response": "4<|im_end|><|endoftext|>"}, FinishReason.EOS),
    ],
)
def test_why_a_response_ended(fields: dict[str, Any], expected: FinishReason) -> None:
    assert parse(**fields)[0].finish is expected


def test_end_tokens_are_no_text() -> None:
    assert parse(response="4</s><|im_end|>")[0].text == "4"
    assert parse(response="4</s> more")[0].text == "4</s> more"


def test_a_step_may_be_named() -> None:
    assert parse()[0].step is None
    assert parse(step=12)[0].step == 12
    assert parse(global_step=3.0)[0].step == 3


def test_half_characters_become_escapes() -> None:
    (found,) = parse_line(b'{"question":"q","response":"\\ud800","answer":"1"}', "f:1")
    assert found.text == "\\ud800"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"question":', "(expecting value at character 13); a file of responses holds one JSON"),
        (b'{"question": "caf\xe9"}', "(no UTF-8 at byte 18)"),
        (b"[" * 100_000, "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"response": "r", "answer": "1"}', "no field holds the question (one of question"),
        (b'{"question": "q", "answer": "1"}', "no field holds the response (one of response"),
        (b'{"question": "q", "response": "r"}', "no field holds the truth (one of ground_truth"),
        (b'{"question": " ", "response": "r", "answer": "1"}', "'question' must be a text"),
        (b'{"question": "q", "response": 5, "answer": "1"}', "'response' must be a text"),
        (b'{"question": "q", "response": [], "answer": "1"}', "'response' must be a text"),
        (b'{"question": "q", "response": "r", "answer": ""}', "'answer' must be one text"),
        (b'{"question": "q", "response": "r", "answer": ["1", "2"]}', "'answer' must be one"),
        (b'{"question": "q", "response": "r", "answer": NaN}', "'answer' must be one text"),
        (b'{"question": "q", "response": "r", "answer": [1e999]}', "'answer' must be one text"),
        (b'{"question": "q", "answer": 1, "response": ' + b"[" * 300 + b"]" * 300 + b"}", "a text"),
        (b'{"question": "q", "answer": ' + b"9" * 5000 + b"}", "has 5000 digits)"),
        (b'{"question": "q", "response": "r", "answer": true}', "'answer' must be one text"),
        (b'{"question": "q", "response": "r", "answer": "x ####"}', "no truth after '####'"),
        (b'{"question": "q", "response": "r", "answer": "1", "step": -1}', "'step' must be"),
        (b'{"question": "q", "response": "r", "answer": "1", "step": "a"}', "'step' must be"),
        (b'{"question": "q", "response": "r", "answer": "1", "step": NaN}', "'step' must be"),
        (b'{"question": "q", "response": "r", "answer": "1", "step": Infinity}', "'step' must"),
    ],
)
def test_a_bad_line_is_named_with_its_place(line: bytes, said: str) -> None:
    good = json.dumps(PLAIN).encode()
    with pytest.raises(UserError) as error:
        list(read_dump([good, b"\n", line], "dump.jsonl"))
    assert str(error.value).startswith("dump.jsonl:3: ")
    assert said in str(error.value)


@pytest.mark.parametrize("start", [b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"PAR1"])
def test_a_packed_file_is_called_so(start: bytes) -> None:
    with pytest.raises(UserError, match=r"dump\.gz is packed or no text"):
        list(read_dump([start + b"\x00\n"], "dump.gz"))


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize("first", [b"", b"\n"])
def test_marks_and_line_ends_of_windows_are_no_text(ending: bytes, first: bytes) -> None:
    line = json.dumps(PLAIN).encode()
    lines = (b"\xef\xbb\xbf" + first + line + ending + line + ending).splitlines(keepends=True)
    assert [found.text for found in read_dump(lines, "f")] == [PLAIN["response"]] * 2


@pytest.mark.parametrize("name", ["", "  ", None, True, float("nan"), ["a"]])
def test_what_cannot_name_a_problem_is_no_id(name: object) -> None:
    assert parse(id=name)[0].problem_id is None


@pytest.mark.parametrize(
    ("text", "finish", "closed"),
    [
        ("x </think> <answer> 4", FinishReason.EOS, True),
        ("x </think> <answer> 4", FinishReason.UNKNOWN, True),
        ("x </think> <answer> 4", FinishReason.LENGTH, False),
        ("x </think> <answer> 4 </answer>", FinishReason.EOS, False),
        ("no answer at all", FinishReason.EOS, False),
    ],
)
def test_only_open_answers_that_were_not_cut_are_closed(
    text: str, finish: FinishReason, closed: bool
) -> None:
    given = DumpedResponse("f:1", None, "q", "4", text, finish, None)
    expected = (text + "</answer>", FinishReason.STOP_STRING) if closed else (text, finish)
    assert restore_stop(given) == expected
