"""Problems from jsonl files: GSM8K records, and prompt/response pairs with their own prompts."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.data.problem import Problem
from core.errors import UserError
from core.responses.parse import parse_response

_CALCULATOR = re.compile(r"<<[^<>]*>>")
_TRUTH_MARK = "####"
_TRUTH_KEYS = ("ground_truth", "truth", "gold", "answer")


def read_problems(path: Path, prefix: str) -> list[Problem]:
    """Read a jsonl file, one problem a line.

    Lines hold either `question` and `answer` (GSM8K: worked steps, `####`, the truth), or
    `prompt` and `response` with the truth in `ground_truth`, or in the response's answer tag.

    Args:
        path: The file.
        prefix: Ids are `<prefix>-<index from 0>`; blank lines do not count.

    Raises:
        UserError: names file and line of the first line that cannot be used.
    """
    problems = [
        parse_record(record, f"{prefix}-{index:05d}", f"{path}:{line}")
        for index, (line, record) in enumerate(_records(path))
    ]
    if not problems:
        raise UserError(f"{path} holds no problems; it needs one JSON object per line")
    return problems


def parse_record(record: Mapping[str, Any], identity: str, place: str) -> Problem:
    """Turn one record into a problem.

    Args:
        record: The decoded line.
        identity: Id for the problem.
        place: Where it stands, for messages (`file:line`).

    Raises:
        UserError: the record has not the fields of any known form.
    """
    if "prompt" in record and "response" in record:
        return _pair(record, identity, place)
    if "question" in record and "answer" in record:
        return gsm8k_problem(
            _text(record, "question", place), _text(record, "answer", place), identity, place
        )
    raise UserError(
        f"{place}: a line needs the fields question and answer, or prompt and response; "
        f"this one has {', '.join(map(repr, record)) or 'none'}"
    )


def parse_pair(line: str, place: str) -> tuple[str, str]:
    """Prompt and response of one line, whatever its truth may be.

    Raises:
        UserError: the line is not a JSON object with two texts of these names.
    """
    record = _decoded(line, place)
    missing = [key for key in ("prompt", "response") if key not in record]
    if missing:
        raise UserError(f"{place}: the line has no field {' and no field '.join(missing)}")
    return _text(record, "prompt", place), _text(record, "response", place)


def gsm8k_problem(question: str, answer: str, identity: str, place: str) -> Problem:
    """A GSM8K record; `<<...>>` calculator marks are taken out of the rationale.

    Raises:
        UserError: no `####` mark, or nothing after it.
    """
    rationale, mark, truth = answer.rpartition(_TRUTH_MARK)
    truth = truth.strip().replace(",", "")
    if not mark or not truth:
        raise UserError(f"{place}: the answer has no truth after '####'; GSM8K lines end with one")
    return Problem(
        id=identity,
        question=question.strip(),
        truth=truth,
        reasoning=_CALCULATOR.sub("", rationale).strip(),
    )


def _pair(record: Mapping[str, Any], identity: str, place: str) -> Problem:
    prompt, response = _text(record, "prompt", place), _text(record, "response", place)
    truth = next((str(record[key]) for key in _TRUTH_KEYS if key in record), None)
    if truth is None:
        truth = parse_response(response).answer_text
    if truth is None or not truth.strip():
        raise UserError(
            f"{place}: no truth found; add a field ground_truth, or close the response with "
            "<answer> ... </answer>"
        )
    if _TRUTH_MARK in truth:
        truth = truth.rpartition(_TRUTH_MARK)[2]
    return Problem(
        id=identity,
        question=prompt,
        truth=truth.strip(),
        prompt=prompt,
        target=response,
    )


def _records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UserError(f"data file {path} cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        yield number, _decoded(line, f"{path}:{number}")


def _decoded(line: str | bytes, place: str) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:  # bad JSON, bad UTF-8, absurd numbers, depth
        raise UserError(f"{place}: the line is not valid JSON ({error})") from error
    if not isinstance(record, dict):
        raise UserError(f"{place}: the line is not a JSON object")
    return record


def _text(record: Mapping[str, Any], key: str, place: str) -> str:
    value = record[key]
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{place}: the field {key!r} must be a text that is not empty")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise UserError(
            f"{place}: the field {key!r} holds half a character (a lone \\ud8xx escape), which no "
            "tokenizer can read; write the whole character"
        )
    return value
