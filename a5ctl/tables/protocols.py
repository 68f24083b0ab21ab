"""Protocols taken apart: their fields by group, and the fields in which two of them differ."""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from core.protocol import (
    BLOCKING_FIELDS,
    GRADING_FIELDS,
    NAME_FIELDS,
    compare_protocols,
    fingerprints,
)
from core.protocol_file import RecordedProtocol

_GROUPS = {
    "data": ("data_name", "split", "data_hash"),
    "prompt": ("prompt_name",),
    "decoding": ("temperature", "top_p", "max_tokens", "min_tokens", "stop", "n", "seed"),
    "engine": ("engine", "engine_version", "dtype"),
}
_PROMPT = "prompt_text"


class Effect(StrEnum):
    """What a difference in a field means for a paired test."""

    FORBIDS = "forbids a paired test"
    WARNS = "only warns"
    NAME = "only a name"


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One field in which two protocols differ; None is a value that nobody recorded."""

    field: str
    a: Any
    b: Any
    effect: Effect


@dataclass(frozen=True, slots=True)
class ProtocolDiff:
    """Two protocols.

    Attributes:
        differences: Those that forbid a paired test first.
        unknown: Fields that neither side recorded, so that nobody knows whether they agree.
    """

    a: RecordedProtocol
    b: RecordedProtocol
    differences: tuple[FieldDifference, ...]
    unknown: tuple[str, ...]


def diff_protocols(a: RecordedProtocol, b: RecordedProtocol) -> ProtocolDiff:
    """Name every field that differs, with both values."""
    found = compare_protocols(a.fields, b.fields)
    unknown = sorted(
        key for key, value in a.fields.items() if value is None and b.fields.get(key) is None
    )
    return ProtocolDiff(
        a,
        b,
        tuple(
            FieldDifference(name, a.fields.get(name), b.fields.get(name), _effect(name))
            for name in (*found.blocking, *found.warning)
        ),
        tuple(unknown),
    )


def groups(protocol: RecordedProtocol) -> dict[str, list[str]]:
    """Names of the fields by group, the prompt's text left out; `more` holds unusual ones."""
    found = {
        group: [name for name in names if name in protocol.fields]
        for group, names in _GROUPS.items()
    }
    usual = {_PROMPT, *GRADING_FIELDS, *(name for names in _GROUPS.values() for name in names)}
    more = sorted(name for name in protocol.fields if name not in usual)
    return {**found, "more": more} if more else found


def prompt_diff(a: str, b: str, names: tuple[str, str]) -> list[str]:
    """A unified diff of two prompt texts, without line ends.

    Texts that differ in nothing but white space are shown with visible spaces and tabs.
    """
    if "".join(a.split()) == "".join(b.split()):
        a, b = (text.replace(" ", "\u00b7").replace("\t", "\u2192") for text in (a, b))
    lines = difflib.unified_diff(_lines(a), _lines(b), *names, n=2, lineterm="")
    return [line.removesuffix("\n") for line in lines]


def protocol_json(
    protocol: RecordedProtocol, evaluation: str | None, steps: list[int]
) -> dict[str, Any]:
    """A protocol as plain data; what nobody recorded is null."""
    return {
        "label": protocol.label,
        "evaluation": evaluation,
        "fingerprints": _fingerprints(protocol.fields),
        "generation": protocol.generation,
        "grading": protocol.grading,
        "source": asdict(protocol.source),
        "steps": steps,
        "forbids_paired_test": [name for name in BLOCKING_FIELDS if name in protocol.fields],
    }


def diff_json(diff: ProtocolDiff) -> dict[str, Any]:
    """Two protocols as plain data."""
    return {
        **{
            side: {"label": one.label, "fingerprints": _fingerprints(one.fields)}
            for side, one in (("a", diff.a), ("b", diff.b))
        },
        "same": not diff.differences,
        "paired_test": all(d.effect is not Effect.FORBIDS for d in diff.differences),
        "differences": [asdict(difference) for difference in diff.differences],
        "recorded_by_neither": diff.unknown,
    }


def _effect(name: str) -> Effect:
    if name in NAME_FIELDS:
        return Effect.NAME
    return Effect.FORBIDS if name in BLOCKING_FIELDS else Effect.WARNS


def _fingerprints(fields: Mapping[str, Any]) -> dict[str, str]:
    return dict(zip(("generation", "grading"), fingerprints(fields), strict=True))


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    if lines[-1] == "":
        return lines[:-1]
    return [*lines[:-1], f"{lines[-1]}\n\\ no newline at the end"]
