"""Rows of graded responses in the spellings of course logs and logged tables.

Fields are those of `core.data.dumps`, and more names for the same things. What a row says about
right and wrong is not believed but kept as the source's own figures; our graders judge the text.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.data.dumps import QUESTION_KEYS, RESPONSE_KEYS, TRUTH_KEYS, DumpedResponse, parse_line
from core.errors import UserError
from core.interchange.limits import number_of, short_name

_ALIASES = (
    (QUESTION_KEYS, ("prompt_text", "prompts", "instruction", "inputs", "user")),
    (
        RESPONSE_KEYS,
        (
            *("responses", "generated_text", "model_output", "model_response", "output_text"),
            *("generated", "generations", "completions", "outputs", "raw_response", "text"),
        ),
    ),
    (
        TRUTH_KEYS,
        (
            *("reference", "expected", "expected_answer", "correct_answer", "true_answer"),
            *("gt", "gt_answer", "label", "gold_answer", "ground_truths"),
        ),
    ),
)
_FIGURES = ("reward", "answer_reward", "format_reward", "accuracy", "correct", "is_correct")
_COURSE_PROMPT = ("A conversation between User and Assistant", "\nUser: ", "\nAssistant: <think>")


@dataclass(slots=True)
class RowTally:
    """What became of the rows, filled while they are read.

    Attributes:
        reason: Why the first row that could not be used could not.
        sums: The source's own figures, added up; `counts` says over how many rows.
    """

    used: int = 0
    unused: int = 0
    reason: str = ""
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    counts: Counter[str] = field(default_factory=Counter)

    def means(self) -> dict[str, float]:
        """The source's own figures over all rows that have them."""
        return {name: self.sums[name] / number for name, number in sorted(self.counts.items())}


def read_rows(rows: Iterable[Any], place: str, tally: RowTally) -> Iterator[DumpedResponse]:
    """Responses of the rows that can be understood.

    Args:
        rows: Decoded from JSON, whatever they are.
        place: For messages.
        tally: Hears of every row.
    """
    for number, row in enumerate(rows, start=1):
        try:
            found = list(_responses(row, f"{place}, entry {number}"))
        except UserError as error:
            tally.unused += 1
            tally.reason = tally.reason or str(error)
            continue
        tally.used += 1
        if isinstance(row, Mapping):
            _add_figures(row, tally)
        yield from found


def names_responses(names: Iterable[str]) -> bool:
    """Whether columns of these names hold question, response and truth."""
    known = {_plain(name) for name in names}
    return all(known & {*keys, *others} for keys, others in _ALIASES)


def _responses(row: Any, place: str) -> Iterator[DumpedResponse]:
    if not isinstance(row, Mapping):
        raise UserError(f"{place}: it is no JSON object")
    record = {_plain(name): value for name, value in row.items()}
    for keys, others in _ALIASES:
        if all(record.get(key) is None for key in keys):
            found = next((name for name in others if record.get(name) is not None), None)
            if found is not None:
                record[keys[0]] = record[found]
    for key in ("prompt", "question"):
        if isinstance(record.get(key), str):
            record[key] = bare_question(record[key])
    try:
        line = json.dumps(record).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{place}: it cannot be read ({type(error).__name__})") from error
    yield from parse_line(line, place)


def bare_question(prompt: str) -> str:
    """The question inside the course's own prompt; any other text as it is.

    With it the same problem is the same, whichever of the two a tool has logged.
    """
    opening, before, after = _COURSE_PROMPT
    if not prompt.startswith(opening) or not prompt.rstrip().endswith(after):
        return prompt
    question = prompt.partition(before)[2].rstrip().removesuffix(after).strip()
    return question or prompt


def _add_figures(row: Mapping[str, Any], tally: RowTally) -> None:
    nested = [value for key, value in row.items() if key in _NESTED and isinstance(value, Mapping)]
    for source in (row, *nested):
        for name in _FIGURES:
            value = number_of(source.get(name))
            if value is not None and abs(value) <= 1e6:
                tally.sums[short_name(name)] += value
                tally.counts[short_name(name)] += 1


_NESTED = ("reward", "rewards", "metrics", "scores", "grade")


def _plain(name: object) -> str:
    return str(name).strip().lower().replace(" ", "_").replace("-", "_")
