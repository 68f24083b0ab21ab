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
        why = _why(error)
        raise UserError(f"{place}: the line is not valid JSON ({why}); {advice}") from error
    if isinstance(record, list):
        raise UserError(
            f"{place}: the line is not a JSON object but an array; give each object a line"
        )
    if not isinstance(record, dict):
        raise UserError(f"{place}: the line is not a JSON object")
    return record


def _why(error: Exception) -> str:
    """What is wrong, at which character of the line."""
    if isinstance(error, UnicodeDecodeError):
        return f"no UTF-8 at byte {error.start + 1}"
    if isinstance(error, json.JSONDecodeError):
        # the decoder counts lines of its own, and numbers its places in two ways
        return f"{error.msg.removesuffix(' at').lower()} at character {error.pos + 1}"
    return str(error).partition(";")[0]


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
