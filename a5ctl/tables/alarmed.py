"""Warnings and alarms of a run in a line each, for those who look at its figures alone."""

from core.registry.records import EventRecord, RunRecord
from core.registry.store import Registry

_MOST = 3


def alarm_lines(registry: Registry, run: RunRecord, until: int | None = None) -> tuple[str, ...]:
    """Warnings and errors of its preflight and its updates, oldest first; none for a healthy run.

    Args:
        registry: Where the run is.
        run: Any run.
        until: The last step that counts; all of them when None.
    """
    found = [
        event
        for event in registry.events(run.uuid)
        if event.severity in ("warning", "error") and (until is None or (event.step or 0) <= until)
    ]
    lines = [f"{e.severity}{_where(e)}: {e.message}" for e in found[:_MOST]]
    if len(found) > _MOST:
        lines.append(f"{len(found) - _MOST} more of them: a5ctl show {run.id}")
    return tuple(lines)


def _where(event: EventRecord) -> str:
    return f" at step {event.step}" if event.step else ""
