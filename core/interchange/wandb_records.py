"""Records of a `.wandb` file by the numbers of W&B's published message definitions.

Only what a run's past needs is read: the run, its configuration, history, summary, definitions of
metrics, and the exit. Values come in two spellings: JSON texts, and typed fields of newer versions.
"""

from dataclasses import dataclass
from typing import Any

from core.interchange.decoding import decode
from core.interchange.limits import DEEPEST
from core.interchange.wire import Message

HISTORY, SUMMARY, CONFIG, STATS, METRIC, RUN, EXIT, HEADER, ENVIRONMENT = (
    *(2, 3, 5, 7, 12),
    *(17, 18, 21, 26),
)
"""Field numbers of the kinds of records in a record."""
KNOWN = (HISTORY, SUMMARY, CONFIG, STATS, METRIC, RUN, EXIT, HEADER, ENVIRONMENT)
_KEY, _NESTED_KEY, _VALUE_JSON = 1, 2, 16
_NONE, _BOOLEAN, _INTEGER, _NUMBER, _TEXT, _JSON = 3, 4, 5, 6, 7, 8


class Unreadable:
    """Stands for a value that is damaged."""


UNREADABLE = Unreadable()


@dataclass(frozen=True, slots=True)
class RunHead:
    """What the first record says about the run."""

    run_id: str
    entity: str
    project: str
    group: str
    job_type: str
    name: str
    notes: str
    tags: tuple[str, ...]
    sweep: str
    host: str
    started: float | None
    remote: str
    commit: str
    settings: dict[str, Any]


def kind_of(record: Message) -> int | None:
    """Which kind a record is; None for those that are not read."""
    return next((number for number in KNOWN if number in record), None)


def run_head(record: Message) -> RunHead:
    """The run.

    Raises:
        WireError: the record is damaged.
    """
    run = record.message(RUN)
    git = run.message(21)
    return RunHead(
        run_id=run.text(1),
        entity=run.text(2),
        project=run.text(3),
        group=run.text(6),
        job_type=run.text(7),
        name=run.text(8),
        notes=run.text(9),
        tags=tuple(run.texts(10)),
        sweep=run.text(12),
        host=run.text(13),
        started=_timestamp(run.message(17)),
        remote=git.text(1),
        commit=git.text(2),
        settings=items(run.message(4), 1),
    )


def merge_items(tree: dict[str, Any], record: Message, number: int) -> None:
    """Put the items of a repeated field into a tree; newer versions write one item per leaf."""
    for item in record.messages(number):
        parts = item.texts(_NESTED_KEY) or [item.text(_KEY)]
        if len(parts) > DEEPEST:
            parts = [*parts[: DEEPEST - 1], ".".join(parts[DEEPEST - 1 :])]
        _put(tree, parts, _value(item))


def items(record: Message, number: int) -> dict[str, Any]:
    """The items of a repeated field as a tree."""
    tree: dict[str, Any] = {}
    merge_items(tree, record, number)
    return tree


def _put(tree: dict[str, Any], parts: list[str], value: Any) -> None:
    for index, part in enumerate(parts[:-1]):
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):  # a value is there already, so that the name stays flat
            tree[".".join(parts[index:])] = value
            return
        tree = below
    tree[parts[-1]] = value


def _value(item: Message) -> Any:
    try:
        if _VALUE_JSON in item:
            return decode(item.blob(_VALUE_JSON))
        if _JSON in item:
            return decode(item.blob(_JSON))
    except ValueError:
        return UNREADABLE
    if _NUMBER in item:
        return item.double(_NUMBER)
    if _INTEGER in item:
        return item.zigzag(_INTEGER)
    if _BOOLEAN in item:
        return bool(item.integer(_BOOLEAN))
    return item.text(_TEXT) if _TEXT in item else None


def history_step(record: Message) -> int:
    """Number of the row; W&B counts its calls of log unless it is told a step."""
    return record.message(HISTORY).message(2).integer(1)


def exit_code(record: Message) -> tuple[int, int]:
    """(exit code, seconds that the run took)."""
    ending = record.message(EXIT)
    return ending.integer(1), ending.integer(2)


def environment(record: Message) -> dict[str, Any]:
    """Facts about machine and program that are worth keeping; user name and e-mail are not."""
    found = record.message(ENVIRONMENT)
    texts = {"os": 1, "python": 2, "program": 6, "gpu": 18, "cuda": 25, "host": 12}
    facts: dict[str, Any] = {name: found.text(number) for name, number in texts.items()}
    git = found.message(9)
    facts |= {"remote": git.text(1), "commit": git.text(2)}
    return {name: value for name, value in facts.items() if value}


def _timestamp(message: Message) -> float | None:
    seconds = message.integer(1)
    return seconds + message.integer(2) / 1e9 if seconds else None
