"""A probe as a journal line, and back."""

import json
from dataclasses import asdict
from typing import Any

from core.probing.names import ProbeKind
from core.registry.codec import clean, pack_lines, unpack_lines
from core.registry.entries import clean_tree
from core.registry.later_entries import ProbeEntry
from core.registry.probe_records import ProbedResponse, ProbeRecord
from core.registry.records import StoredGrade

_SHARED = ("cap", "time", "eligible", "engine", "engine_version", "dtype", "seconds")


def probe_entry(evaluation_uuid: str, probe: ProbeRecord) -> ProbeEntry:
    """A probe as it is recorded."""
    return ProbeEntry(
        evaluation=evaluation_uuid,
        kind=probe.kind.value,
        rows=pack_lines(json.dumps(_row(found)).encode() for found in probe.responses),
        **{name: getattr(probe, name) for name in _SHARED},
    )


def probe_record(entry: ProbeEntry) -> ProbeRecord:
    """The probe behind `probe_entry`.

    Raises:
        ValueError: the entry is damaged.
    """
    rows = [json.loads(line) for line in unpack_lines(entry.rows) if line]
    return ProbeRecord(
        kind=ProbeKind(entry.kind),
        responses=tuple(_response(row) for row in rows),
        **{name: getattr(entry, name) for name in _SHARED},
    )


def _row(found: ProbedResponse) -> dict[str, Any]:
    row = {**asdict(found), "grades": {str(k): asdict(v) for k, v in found.grades.items()}}
    return dict(clean_tree({**row, "text": clean(found.text or "")}))


def _response(row: dict[str, Any]) -> ProbedResponse:
    grades = {name: StoredGrade(**grade) for name, grade in row["grades"].items()}
    return ProbedResponse(**{**row, "grades": grades})
