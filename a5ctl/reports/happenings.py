"""What happened while the runs trained: alarms, rollbacks and warnings."""

import json
from collections.abc import Sequence
from typing import Any

from a5ctl.format import count, moment
from a5ctl.reports.content import Cell, Remark, Table, Tone
from a5ctl.reports.excerpts import clipped, one_line
from core.registry.records import EventRecord, RunRecord
from core.registry.store import Registry

_INFO = "info"
_ALWAYS = ("rollback", "resumed", "merged", "protocol_changed")
_MOST = 200
_KIND_CHARS = 80
_MESSAGE_CHARS, _EVIDENCE_CHARS = 1000, 1500
_TONES = {"error": Tone.BAD, "warning": Tone.WARNING}
Event = tuple[EventRecord, list[str]]


def gather_events(
    registry: Registry, runs: Sequence[RunRecord]
) -> tuple[Table | None, tuple[Remark, ...]]:
    """Warnings and errors, oldest first; what several runs say alike before step 1 stands once."""
    found: dict[Any, Event] = {}
    quiet = 0
    for run in runs:
        for event in registry.events(run.uuid):
            if event.severity == _INFO and event.kind not in _ALWAYS:
                quiet += 1
                continue
            own = (run.uuid, event.time) if event.step is not None else ()
            key = (event.kind, event.severity, event.message, own)
            found.setdefault(key, (event, []))[1].append(run.id)
    events = sorted(found.values(), key=lambda pair: pair[0].time)
    shown = events[:_MOST]
    remarks = []
    if not events:
        remarks.append(Remark("No alarm, warning or error was recorded.", Tone.GOOD))
    if rest := len(events) - len(shown):
        remarks.append(Remark(f"{count(rest)} later ones are left out.", Tone.UNSURE))
    if quiet:
        remarks.append(
            Remark(
                f"{count(quiet)} events that only inform, such as passed checks before step 0, are "
                "left out; a5ctl show RUN --json lists them."
            )
        )
    return _table(shown) if shown else None, tuple(remarks)


def _table(events: Sequence[Event]) -> Table:
    rows = tuple(
        (
            Cell(one_line(event.kind, _KIND_CHARS), Tone.CODE),
            Cell(event.severity, _TONES.get(event.severity, Tone.PLAIN)),
            _who(runs),
            Cell("-" if event.step is None else count(event.step)),
            Cell(moment(event.time)),
            Cell(one_line(event.message, _MESSAGE_CHARS), more=_evidence(event.data)),
        )
        for event, runs in events
    )
    headers = ("kind", "severity", "run", "step", "time", "message")
    caption = "Alarms of the watchdog, rollbacks, warnings and errors, oldest first."
    return Table(caption, headers, rows, frozenset((3,)), frozenset((5,)))


def _who(runs: Sequence[str]) -> Cell:
    if len(runs) == 1:
        return Cell(runs[0], Tone.CODE, runs[0])
    return Cell(f"{runs[0]} and {len(runs) - 1} more", Tone.CODE, runs[0])


def _evidence(data: Any) -> str:
    if not data:
        return ""
    text = json.dumps(data, ensure_ascii=False, indent=1, default=str)
    return clipped(text, _EVIDENCE_CHARS)
