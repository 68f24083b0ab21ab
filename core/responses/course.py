"""Reading a prediction out of free text, under the names that the course's tests use."""

import re
from collections.abc import Mapping
from typing import Any

from core.responses.numerals import MAX_NUMERAL_CHARS

_STATED_CHOICE = re.compile(
    r"\b(?:answer|choice|option)\b(?:\s+is)?\s*:?\s*[(\[\"'*]{0,3}(?P<letter>[A-D])\b",
    re.IGNORECASE,
)
_LONE_CHOICE = re.compile(r"\s*[(\[\"'*]{0,3}(?P<letter>[A-D])[)\]\"'*.:,\s]{0,4}\s*\Z")
_FIRST_CHOICE = re.compile(r"\s*[(\[\"'*]{0,3}(?P<letter>[A-D])[)\].:]")
_WRITTEN_NUMBER = re.compile(
    r"(?<![\w.])-?[0-9]++(?:,[0-9]{3})*+(?:\.[0-9]++)?|[0-9]++(?:\.[0-9]++)?"
)


def parse_mmlu_response(example: Mapping[str, Any], output: str) -> str | None:
    """The letter that a model chose among the options of a multiple-choice question.

    Args:
        example: The question: `subject`, `question`, `options` (four texts), `answer`.
        output: The model's text, for example `The correct answer is B. ...`.

    Returns:
        `A`, `B`, `C` or `D`; None when the text names none.
    """
    for pattern in (_STATED_CHOICE, _LONE_CHOICE, _FIRST_CHOICE):
        found = pattern.search(output) if pattern is _STATED_CHOICE else pattern.match(output)
        if found is not None and _is_choice(found.group("letter")):
            return found.group("letter").upper()
    return _quoted_option(example, output)


def parse_gsm8k_response(output: str) -> str | None:
    """The last number of a text as a string without grouping commas; None when it has none."""
    last = None
    for match in _WRITTEN_NUMBER.finditer(output):
        last = match
    return last.group().replace(",", "")[:MAX_NUMERAL_CHARS] if last is not None else None


def _is_choice(letter: str) -> bool:
    # 'the answer is a ...' is an article, not option A.
    return letter.isupper()


def _quoted_option(example: Mapping[str, Any], output: str) -> str | None:
    """The one option whose whole text is the output."""
    said = output.strip().rstrip(".").casefold()
    matching = [
        letter
        for letter, option in zip("ABCD", example.get("options", ()), strict=False)
        if str(option).strip().casefold() == said
    ]
    return matching[0] if len(matching) == 1 else None
