"""Warnings and alarms of a run in a line each, for those who look at its figures alone."""

from collections.abc import Sequence

from core.registry.records import EventRecord, RunRecord
from core.registry.store import Registry

_MOST = 3


def alarm_lines(registry: Registry, run: RunRecord, until: int | None = None) -> tuple[str, ...]:
    """Warnings and errors of its preflight and its updates; none for a healthy run.

    Errors come first, then the oldest. What was said several times is one line, with its first
    words.

    Args:
        registry: Where the run is.
        run: Any run.
        until: The last step that counts; all of them when None.
    """
    kinds: dict[str, list[EventRecord]] = {}
    for event in registry.events(run.uuid):
        if event.severity in ("warning", "error") and (until is None or (event.step or 0) <= until):
            kinds.setdefault(event.kind, []).append(event)
    ranked = sorted(kinds.values(), key=lambda events: events[0].severity != "error")
    lines = [f"{_head(events)}: {events[0].message}" for events in ranked]
    if len(lines) > _MOST:
        lines[_MOST:] = [f"{len(lines) - _MOST} more of them: a5ctl show {run.id}"]
    return tuple(lines)


def _head(events: Sequence[EventRecord]) -> str:
    first, last = events[0], events[-1]
    where = f" at step {first.step}" if first.step else ""
    if len(events) == 1:
        return f"{first.severity}{where}"
    until = f", the last at step {last.step}" if last.step else ""
    return f"{first.severity}{where}, {len(events)} times{until}"
