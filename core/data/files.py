"""Problems from jsonl files, one record a line, in the forms that are common.

| form | fields |
| --- | --- |
| GSM8K | question, answer: worked steps, `####`, the truth |
| MATH | problem or question; solution with a boxed result, or answer, or both |
| multiple choice | question, choices (four texts), answer: a letter, or a number from 0 |
| pairs | prompt, response; the truth in ground_truth, or in the response's answer tag |
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.data.boxed import boxed_result
from core.data.choices import LETTERS
from core.data.json_lines import decode_record, text_field
from core.data.mmlu import choice_problem
from core.data.problem import Problem
from core.errors import UserError
from core.given_files import given_lines
from core.responses.parse import parse_response

_CALCULATOR = re.compile(r"<<[^<>]*>>")
_TRUTH_MARK = "####"
_TRUTH_KEYS = ("ground_truth", "truth", "gold", "answer")
_QUESTION_KEYS = ("question", "problem")
_EXPECTED = (
    "a line needs the fields question and answer (GSM8K), problem and solution or answer (MATH), "
    "question, choices and answer (multiple choice), or prompt and response"
)
_ADVICE = "a data file holds one JSON object per line, or its name ends with .csv"
_LONGEST_BARE_ANSWER = 200


def read_problems(path: Path, prefix: str) -> list[Problem]:
    """Read a jsonl file, one problem a line.

    Args:
        path: The file.
        prefix: Ids are `<prefix>-<index from 0>`; blank lines do not count.

    Raises:
        UserError: names file and line of the first line that cannot be used.
    """
    records = list(_records(path))
    marked = any(_is_marked(record) for _, record in records)
    problems = [
        parse_record(record, f"{prefix}-{index:05d}", f"{path}:{line}", marked=marked)
        for index, (line, record) in enumerate(records)
    ]
    if not problems:
        raise UserError(f"{path} holds no problems; it needs one JSON object per line")
    return problems


def parse_record(
    record: Mapping[str, Any], identity: str, place: str, *, marked: bool = False
) -> Problem:
    """Turn one record into a problem.

    Args:
        record: The decoded line.
        identity: Id for the problem.
        place: Where it stands, for messages (`file:line`).
        marked: Other lines mark their truth with `####`, so one without a mark has lost it.

    Raises:
        UserError: the record has not the fields of any known form.
    """
    if "prompt" in record and "response" in record:
        return _pair(record, identity, place)
    key = next((key for key in _QUESTION_KEYS if key in record), None)
    if key is None or not ({"answer", "solution"} & record.keys()):
        has = ", ".join(repr(name[:40]) for name in list(record)[:12]) or "none"
        raise UserError(f"{place}: {_EXPECTED}; this one has {has}")
    question = text_field(record, key, place)
    if "choices" in record:
        return _choices(record, question, identity, place)
    if _is_marked(record) or (marked and "solution" not in record):
        return gsm8k_problem(question, text_field(record, "answer", place), identity, place)
    return _math(record, question, identity, place)


def parse_pair(line: str, place: str) -> tuple[str, str]:
    """Prompt and response of one line, whatever its truth may be.

    Raises:
        UserError: the line is not a JSON object with two texts of these names.
    """
    record = decode_record(line, place, _ADVICE)
    missing = [key for key in ("prompt", "response") if key not in record]
    if missing:
        raise UserError(f"{place}: the line has no field {' and no field '.join(missing)}")
    return text_field(record, "prompt", place), text_field(record, "response", place)


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


def _is_marked(record: Mapping[str, Any]) -> bool:
    """The answer is worked steps with the truth behind a mark, as in GSM8K."""
    answer = record.get("answer")
    return isinstance(answer, str) and _TRUTH_MARK in answer


def _math(record: Mapping[str, Any], question: str, identity: str, place: str) -> Problem:
    """A problem with a solution in LaTeX, a bare answer, or both; the answer wins."""
    solution = text_field(record, "solution", place) if record.get("solution") is not None else None
    truth = None
    if record.get("answer") is not None:
        answer = _plain_text(record, "answer", place).strip()
        truth = boxed_result(answer)
        if truth is None:
            truth = _bare_answer(answer, place)
        elif solution is None and answer.strip("$ .") != f"\\boxed{{{truth}}}":
            solution = answer
    elif solution is not None:
        truth = boxed_result(solution)
    if truth is None:
        raise UserError(
            f"{place}: the solution has no \\boxed{{...}} result, and there is no answer; add a "
            "field answer with the truth"
        )
    reasoning = None if solution is None else solution.strip()
    return Problem(id=identity, question=question.strip(), truth=truth, reasoning=reasoning)


def _bare_answer(answer: str, place: str) -> str:
    """An answer that is nothing but the truth; worked steps that lost their mark are refused."""
    if "\n" in answer or len(answer) > _LONGEST_BARE_ANSWER:
        raise UserError(
            f"{place}: the answer is a text that does not say which part of it is the truth: there "
            "is no truth after '####', and no \\boxed{...}; add one of these"
        )
    return answer


def _choices(record: Mapping[str, Any], question: str, identity: str, place: str) -> Problem:
    """A question with a list of options; the answer is a letter, or a number from 0."""
    options = record["choices"]
    if not isinstance(options, list) or len(options) != len(LETTERS):
        raise UserError(f"{place}: the field 'choices' must be a list of {len(LETTERS)} texts")
    answer = str(record.get("answer"))
    return choice_problem(question, [str(o) for o in options], answer, identity, place)


def _plain_text(record: Mapping[str, Any], key: str, place: str) -> str:
    """A text, or a number as text."""
    value = record[key]
    if isinstance(value, int | float) and not isinstance(value, bool):
        whole = isinstance(value, float) and value.is_integer()
        return str(int(value) if whole else value)
    return text_field(record, key, place)


def _pair(record: Mapping[str, Any], identity: str, place: str) -> Problem:
    prompt, response = text_field(record, "prompt", place), text_field(record, "response", place)
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
    number = 0
    try:
        for block in given_lines(path):
            for line in block.splitlines():
                number += 1
                if line.strip():
                    yield number, decode_record(line, f"{path}:{number}", _ADVICE)
    except OSError as error:
        raise UserError(f"data file {path} cannot be read: {error.strerror}") from error
