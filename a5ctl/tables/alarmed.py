"""The alarms of a run's training in a line each, for those who look at its figures alone."""

from core.registry.records import RunRecord
from core.registry.store import Registry

_MOST = 2


def alarm_lines(registry: Registry, run: RunRecord, until: int | None = None) -> tuple[str, ...]:
    """Warnings and errors of its updates, the latest last; nothing for a healthy run.

    Args:
        registry: Where the run is.
        run: Any run.
        until: The last step that counts; all of them when None.
    """
    found = [
        event
        for event in registry.events(run.uuid)
        if event.severity in ("warning", "error")
        and event.step
        and (until is None or event.step <= until)
    ]
    lines = [f"{e.severity} at step {e.step}: {e.message}" for e in found[:_MOST]]
    if len(found) > _MOST:
        lines.append(f"{len(found) - _MOST} more of them: a5ctl show {run.id}")
    return tuple(lines)
