"""Preference pairs from jsonl files: one prompt, a chosen and a rejected response to it a line.

    {"prompt": "...", "chosen": "...", "rejected": "..."}

are the fields that every line needs, as TRL's data sets have them with plain texts. What else a
line of `a5ctl pairs` holds is read too; fields that nobody knows here are left alone.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.json_lines import decode_record, text_field
from core.errors import UserError
from core.given_files import given_lines

_ADVICE = "a pair file holds one JSON object per line"
_NEEDED = ("prompt", "chosen", "rejected")
_OPTIONAL_TEXTS = ("problem_id", "question", "truth", "grader")
_MARKS = ("chosen_truncated", "rejected_truncated")


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two responses to one prompt, of which the first is to become likelier.

    Attributes:
        id: Of the line, for messages: the problem's id where it has one.
        prompt: The whole prompt, as the policy reads it.
        chosen: The better response, without EOS.
        rejected: The worse one, without EOS.
        question: The bare question; None when the file does not say it.
        truth: Its ground truth; None when the file does not say it.
        grader: Who told the responses apart; None when the file does not say it.
        chosen_truncated: A token cap has cut the response, so that no EOS belongs behind it.
        rejected_truncated: The same of the other.
    """

    id: str
    prompt: str
    chosen: str
    rejected: str
    question: str | None = None
    truth: str | None = None
    grader: str | None = None
    chosen_truncated: bool = False
    rejected_truncated: bool = False


def read_pairs(path: Path) -> list[PreferencePair]:
    """Read a file of pairs.

    Raises:
        UserError: names file and line of the first line that cannot be used.
    """
    pairs = [
        parse_preference(line, f"{path}:{number}", f"{path.stem}-{index:05d}")
        for index, (number, line) in enumerate(_lines(path))
    ]
    if not pairs:
        raise UserError(f"{path} holds no pairs; it needs one JSON object per line")
    return pairs


def parse_preference(line: bytes, place: str, identity: str) -> PreferencePair:
    """Turn one line into a pair.

    Args:
        line: The line.
        place: Where it stands, for messages (`file:line`).
        identity: Id of the pair where the line names no problem.

    Raises:
        UserError: the line is not a JSON object with the three texts, or one of them is no text.
    """
    record = decode_record(line, place, _ADVICE)
    missing = [repr(key) for key in _NEEDED if key not in record]
    if missing:
        raise UserError(
            f"{place}: the line has no field {' and no field '.join(missing)}; a pair needs the "
            "texts prompt, chosen and rejected"
        )
    prompt, chosen, rejected = (_text(record, key, place) for key in _NEEDED)
    known = {key: _optional_text(record, key, place) for key in _OPTIONAL_TEXTS}
    return PreferencePair(
        known["problem_id"] or identity,
        prompt,
        chosen,
        rejected,
        known["question"],
        known["truth"],
        known["grader"],
        *(_mark(record, key, place) for key in _MARKS),
    )


def pair_line(pair: PreferencePair) -> str:
    """A pair as the line that `read_pairs` makes the same pair of, whatever the file's name."""
    texts = {"problem_id": pair.id} | {key: getattr(pair, key) for key in _NEEDED}
    known = {key: getattr(pair, key) for key in _OPTIONAL_TEXTS if key != "problem_id"}
    marks = {key: getattr(pair, key) for key in _MARKS}
    row = texts | {key: value for key, value in known.items() if value is not None} | marks
    return json.dumps(row, ensure_ascii=True) + "\n"


def pairs_hash(pairs: Iterable[PreferencePair]) -> str:
    """SHA-256 (64 hex digits) over everything that is learned from, in order."""
    digest = hashlib.sha256()
    for pair in pairs:
        row = [pair.id, pair.prompt, pair.chosen, pair.rejected]
        row += [str(pair.chosen_truncated), str(pair.rejected_truncated)]
        digest.update(json.dumps(row, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        for number, line in enumerate(given_lines(path), start=1):
            if line.strip():
                yield number, line
    except OSError as error:
        raise UserError(
            f"pair file {path} cannot be read: {error.strerror}; a5ctl pairs RUN writes one"
        ) from error


def _text(record: Mapping[str, Any], key: str, place: str) -> str:
    value = record[key]
    if isinstance(value, list | dict):
        raise UserError(
            f"{place}: the field {key!r} is a conversation, and a pair needs plain texts; put the "
            "messages through the model's chat template first"
        )
    return text_field(record, key, place)


def _optional_text(record: Mapping[str, Any], key: str, place: str) -> str | None:
    return None if record.get(key) is None else _text(record, key, place)


def _mark(record: Mapping[str, Any], key: str, place: str) -> bool:
    value = record.get(key, False)
    if not isinstance(value, bool):
        raise UserError(f"{place}: the field {key!r} must be true or false")
    return value
