"""Is a run that says it is running still alive? Derived when asked, never stored."""

import time

from core.registry.processes import ProcessState, process_state
from core.registry.records import RunRecord

STALE_AFTER_S = 60.0

STALE = "stale"
LOST = "lost"


def display_status(run: RunRecord, now: float | None = None) -> str:
    """The status to show: the stored one, or `stale` or `lost` for a run that stopped talking.

    `lost` needs proof: the run was recorded on this machine and its process is gone. Without proof
    a run whose heartbeat is older than a minute is `stale`; a returning heartbeat makes it
    `running` again.

    Args:
        run: The run.
        now: Seconds since the epoch; the clock when not given.
    """
    if run.status.settled:
        return run.status.value
    if process_state(run.host, run.pid, run.process_start) is ProcessState.GONE:
        return LOST
    last_sign = run.heartbeat or run.created
    silent = (time.time() if now is None else now) - last_sign
    return STALE if silent > STALE_AFTER_S else run.status.value
