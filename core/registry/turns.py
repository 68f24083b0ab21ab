"""Many recorders at one SQLite file take turns, and leave room for everybody else.

SQLite has no queue: who finds the file locked looks again after up to a tenth of a second, and
whoever looks first gets it. In a crowd somebody may not get it for half a minute, and gives up. So
recorders wait for their turn at a lock of their own; then at most one of them tries at a time. One
that had to wait leaves the file alone for a moment before it lets the next one try, and stores less
often from then on, so that a command which looks now and then finds it free.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from core.registry.lock import FileLock

_PATIENCE_S = 10.0
_CROWDED_S = 0.02
_GAP_S = 0.12
_LONGEST_REST_S = 10.0


class Turns:
    """The turns of one recorder.

    Args:
        database: The SQLite file; None where the database is on a server, which has a queue.

    Attributes:
        rest: Seconds that should pass before this recorder asks again; 0 where it is alone.
    """

    def __init__(self, database: Path | None) -> None:
        self.rest = 0.0
        self._place = None if database is None else database.with_name(f"{database.name}.turn")
        self._begun = 0.0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait until it is this recorder's turn; after a while without one, go on all the same."""
        asked = self._begun = time.monotonic()
        with self._lock():
            yield
            held, waited = time.monotonic() - self._begun, self._begun - asked
            self.rest = 0.0
            if waited > _CROWDED_S:
                self.rest = min(_LONGEST_REST_S, max(4 * waited, 20 * held))
                time.sleep(_GAP_S)

    def begun(self) -> None:
        """The transaction has begun: what was waited for is there."""
        self._begun = time.monotonic()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with ExitStack() as stack:
            if self._place is not None:
                with suppress(OSError):  # a timeout too: the database has a lock of its own
                    stack.enter_context(FileLock(self._place, timeout=_PATIENCE_S))
            yield
