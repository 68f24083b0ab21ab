"""Responses that another tool wrote, one JSON object per line, in the spellings that are common.

| what | fields, the first that is there counts |
| --- | --- |
| question | question, prompt, problem, input, query; or the same in doc (lm-evaluation-harness) |
| response | response, completion, output, generation, prediction, resps |
| truth | ground_truth, truth, gts, gold, target, answer, solution |
| why it ended | finish, finish_reason, stop_reason; absent means unknown |
| step | step, global_step |
| problem | problem_id, doc_id, id, uid |

Prompts and completions may be chat messages; a list of responses stands for several samples.
"""

import codecs
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.engines.base import FinishReason
from core.errors import UserError
from core.registry.codec import clean
from core.responses.equality import last_boxed

QUESTION_KEYS = ("question", "prompt", "problem", "input", "query")
RESPONSE_KEYS = ("response", "completion", "output", "generation", "prediction", "resps")
TRUTH_KEYS = ("ground_truth", "truth", "gts", "gold", "target", "answer", "solution")
_FINISH_KEYS = ("finish", "finish_reason", "stop_reason")
_STEP_KEYS = ("step", "global_step")
_ID_KEYS = ("problem_id", "doc_id", "id", "uid")
_FINISHES = {
    **dict.fromkeys(("length", "max_tokens", "max_length", "model_length"), FinishReason.LENGTH),
    **dict.fromkeys(("eos", "eos_token", "end_turn"), FinishReason.EOS),
    **dict.fromkeys(("stop_string", "stop_sequence"), FinishReason.STOP_STRING),
}
_END_TOKENS = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "</s>")
_CLOSE = "</answer>"
_LARGEST_STEP = 2**31 - 1
_PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"PAR1")
_DEEPEST = 16


@dataclass(frozen=True, slots=True)
class DumpedResponse:
    """One response as a file holds it.

    Attributes:
        place: `file:line`, for messages.
        problem_id: The file's own id for the problem; None when it has none.
        question: What was asked; the whole prompt where the file holds nothing shorter.
        text: The response, without end-of-sequence tokens.
        step: Optimizer updates behind it; None when the file does not say.
    """

    place: str
    problem_id: str | None
    question: str
    truth: str
    text: str
    finish: FinishReason
    step: int | None


def read_dump(lines: Iterable[bytes], name: str) -> Iterator[DumpedResponse]:
    """Read responses as they come; blank lines are passed over.

    Args:
        lines: Of an opened file.
        name: What to call it in messages.

    Raises:
        UserError: names file and line of the first line that cannot be used.
    """
    for number, raw in enumerate(lines, start=1):
        line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        if line.startswith(_PACKED) and number == 1:
            raise UserError(f"{name} is packed or no text; make JSON lines of it first")
        if line.strip():
            yield from parse_line(line, f"{name}:{number}")


def parse_line(line: bytes, place: str) -> Iterator[DumpedResponse]:
    """The responses of one line.

    Raises:
        UserError: see `read_dump`.
    """
    record = _record(line, place)
    question = _question(record, place)
    truth = _truth(record, place)
    step = _step(record, place)
    problem_id = next((clean(str(record[k])) for k in _ID_KEYS if _named(record.get(k))), None)
    for text in _responses(record, place):
        kept, finish = _ending(clean(text), record)
        yield DumpedResponse(place, problem_id, question, truth, kept, finish, step)


def restore_stop(response: DumpedResponse) -> tuple[str, FinishReason]:
    """Text and ending with the `</answer>` that a tool cut off, where an answer is left open.

    A response that the length cap stopped is left as it is.
    """
    text, finish = response.text, response.finish
    left_open = text.rfind("<answer>") > text.rfind(_CLOSE)
    if finish is FinishReason.LENGTH or not left_open:
        return text, finish
    return text + _CLOSE, FinishReason.STOP_STRING


def _record(line: bytes, place: str) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        why = str(error).partition(";")[0]
        raise UserError(f"{place}: the line is not valid JSON ({why})") from error
    if isinstance(record, list):
        raise UserError(
            f"{place}: the line is not a JSON object but an array; give each object a line"
        )
    if not isinstance(record, dict):
        raise UserError(f"{place}: the line is not a JSON object")
    return record


def _question(record: Mapping[str, Any], place: str) -> str:
    inner = record.get("doc")
    key, value = _first(record, QUESTION_KEYS)
    if key is None and isinstance(inner, dict):
        key, value = _first(inner, QUESTION_KEYS)
    text = _message(value, "user") if isinstance(value, list) else value
    if key is None:
        raise _missing(record, place, "question", QUESTION_KEYS)
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{place}: the field {key!r} must be a text that is not empty")
    return clean(text)


def _responses(record: Mapping[str, Any], place: str) -> list[str]:
    key, value = _first(record, RESPONSE_KEYS)
    if key is None:
        raise _missing(record, place, "response", RESPONSE_KEYS)
    texts = list(_texts(value))
    if not texts or any(not isinstance(text, str) for text in texts):
        raise UserError(f"{place}: the field {key!r} must be a text, or a list of texts")
    return texts


def _truth(record: Mapping[str, Any], place: str) -> str:
    key, value = _first(record, TRUTH_KEYS)
    if key is None and isinstance(record.get("doc"), dict):
        key, value = _first(record["doc"], TRUTH_KEYS)
    if key is None and isinstance(record.get("reward_model"), dict):
        key, value = _first(record["reward_model"], TRUTH_KEYS)
    if key is None:
        raise _missing(record, place, "truth", TRUTH_KEYS)
    if isinstance(value, dict) and "ground_truth" in value:
        value = value["ground_truth"]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not _plain(value) or not str(value).strip():
        raise UserError(f"{place}: the field {key!r} must be one text or number, not empty")
    return _bare(clean(str(value)), place)


def _bare(truth: str, place: str) -> str:
    """The final answer of a worked solution: after `####`, or in the last box."""
    if "####" in truth:
        truth = truth.rpartition("####")[2].replace(",", "")
    elif "\\boxed" in truth:
        truth = last_boxed(truth) or truth
    if not truth.strip():
        raise UserError(f"{place}: the answer has no truth after '####'")
    return truth.strip()


def _step(record: Mapping[str, Any], place: str) -> int | None:
    key, value = _first(record, _STEP_KEYS)
    if value is None:
        return None
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    if not whole or not 0 <= value <= _LARGEST_STEP:
        raise UserError(f"{place}: the field {key!r} must be a whole number from 0")
    return int(value)


def _ending(text: str, record: Mapping[str, Any]) -> tuple[str, FinishReason]:
    """The text without end tokens, and why it ended as far as the line tells."""
    kept = text
    while end := next((token for token in _END_TOKENS if kept.endswith(token)), None):
        kept = kept.removesuffix(end)
    found = next((record[key] for key in _FINISH_KEYS if isinstance(record.get(key), str)), "")
    if found == "stop":
        closed = kept.rstrip().endswith(_CLOSE)
        return kept, FinishReason.STOP_STRING if closed else FinishReason.EOS
    if found in _FINISHES:
        return kept, _FINISHES[found]
    return kept, FinishReason.UNKNOWN if kept == text else FinishReason.EOS


def _first(record: Mapping[str, Any], keys: Sequence[str]) -> tuple[str | None, Any]:
    """The first of the keys that holds something."""
    key = next((key for key in keys if record.get(key) is not None), None)
    return key, None if key is None else record[key]


def _texts(value: Any, depth: int = 0) -> Iterator[Any]:
    """Texts in nested lists; chat messages count as what the assistant said last."""
    if not isinstance(value, list) or depth == _DEEPEST:
        yield value
    elif value and all(isinstance(item, dict) for item in value):
        yield _message(value, "assistant")
    else:
        for item in value:
            yield from _texts(item, depth + 1)


def _message(messages: Sequence[Any], role: str) -> Any:
    """Content of the last chat message of this role, or of the last at all."""
    found = [m for m in messages if isinstance(m, dict) and isinstance(m.get("content"), str)]
    mine = [message for message in found if message.get("role") == role] or found
    return mine[-1]["content"] if mine else None


def _plain(value: Any) -> bool:
    """A text or a number; what JSON readers make of NaN and 1e999 is neither."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int) and not isinstance(value, bool)


def _named(value: Any) -> bool:
    return _plain(value) and bool(str(value).strip())


def _missing(record: Mapping[str, Any], place: str, what: str, keys: Sequence[str]) -> UserError:
    filled = [key for key, value in record.items() if value is not None]
    has = ", ".join(repr(key[:40]) for key in filled[:12]) or "none"
    return UserError(
        f"{place}: no field holds the {what} (one of {', '.join(keys)}); the line fills {has}"
    )
