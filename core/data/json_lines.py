"""One line of a jsonl file that a person may have written, and the texts in it."""

import json
from collections.abc import Mapping
from typing import Any

from core.errors import UserError


def decode_record(line: str | bytes, place: str, advice: str) -> Mapping[str, Any]:
    """The JSON object that a line holds.

    Args:
        line: The line.
        place: Where it stands, for messages (`file:line`).
        advice: What such a file holds, for a line that is not JSON.

    Raises:
        UserError: the line holds something else.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:  # bad JSON, bad UTF-8, absurd numbers, depth
        raise UserError(f"{place}: the line is not valid JSON ({error}); {advice}") from error
    if not isinstance(record, dict):
        raise UserError(f"{place}: the line is not a JSON object")
    return record


def text_field(record: Mapping[str, Any], key: str, place: str) -> str:
    """A text that says something and that a tokenizer can read.

    Raises:
        UserError: the field holds none.
    """
    value = record[key]
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{place}: the field {key!r} must be a text that is not empty")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise UserError(
            f"{place}: the field {key!r} holds half a character (a lone \\ud8xx escape), which no "
            "tokenizer can read; write the whole character"
        )
    return value
