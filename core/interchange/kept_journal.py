"""What the journal of an imported run says, when the run is imported again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.registry.entries import Entry, EventEntry, RunEntry, parse_entry
from core.registry.journal import parse_lines, read_lines
from core.registry.later_entries import ProbeEntry, RegradeEntry

_LATER = (b'{"entry":"regrade"', b'{"entry":"probe"', b'{"entry":"event"')


def added_later(path: Path, evaluations: set[str]) -> Iterator[Entry]:
    """Its events, and grades and probes that were added here to what the source still holds."""
    for _, lines in read_lines(path):
        for entry in parse_lines([line for line in lines if line.startswith(_LATER)])[0]:
            later = entry.evaluation if isinstance(entry, RegradeEntry | ProbeEntry) else None
            if isinstance(entry, EventEntry) or later in evaluations:
                yield entry


def described(path: Path) -> tuple[dict[str, Any], set[str]]:
    """The columns of the run of a journal, and the identities of its evaluations."""
    columns: dict[str, Any] = {}
    evaluations: set[str] = set()
    for _, lines in read_lines(path):
        for line in lines:
            if line.startswith(b'{"entry":"run"'):
                entry = parse_entry(line)
                columns = entry.columns if isinstance(entry, RunEntry) else columns
            elif line.startswith(b'{"entry":"evaluation","uuid":"'):
                evaluations.add(line[30:62].decode())
    return columns, evaluations
