"""Is a run that says it is running still alive? Derived when asked, never stored."""

import time

from core.registry.processes import ProcessState, process_state
from core.registry.records import RunRecord

STALE_AFTER_S = 60.0

STALE = "stale"
LOST = "lost"

_MOST_AHEAD_S = 3600.0
# what run folders say of runs whose rows could not be told; as seen by this process
_signs: dict[str, float] = {}


def display_status(run: RunRecord, now: float | None = None) -> str:
    """The status to show: the stored one, or `stale` or `lost` for a run that stopped talking.

    `lost` needs proof: the run was recorded on this machine and its process is gone. Without proof
    a run whose last sign of life is older than a minute is `stale`; a returning one makes it
    `running` again. Signs come from the clock of the run's machine: one from the future counts as
    fresh, but from more than an hour ahead no clock can be trusted, and it says nothing.

    Args:
        run: The run.
        now: Seconds since the epoch; the clock when not given.
    """
    if run.status.settled:
        return run.status.value
    state = process_state(run.host, run.pid, run.process_start)
    if state is ProcessState.GONE:
        return LOST
    if not is_silent(run, time.time() if now is None else now):
        return run.status.value
    return LOST if state is ProcessState.REBOOTED else STALE


def is_silent(run: RunRecord, now: float) -> bool:
    """Whether the last sign of life of a run is too old."""
    signs = (run.heartbeat or run.created, _signs.get(run.uuid, 0.0))
    return not any(-_MOST_AHEAD_S <= now - sign <= STALE_AFTER_S for sign in signs)


def note_sign(run_uuid: str, when: float) -> None:
    """Take note of a sign of life that is not in the registry.

    Args:
        run_uuid: The run.
        when: Seconds since the epoch.
    """
    _signs[run_uuid] = when
