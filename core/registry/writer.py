"""The background of a recorder: journal first, then the database, and again after failures.

The training thread only appends to a queue. Nothing that goes wrong here reaches it: failures are
kept as `problem`, recorded as events, and tried again with growing pauses. One thread stores; a
second one writes the journal and gives signs of life while the first waits for the database.
"""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError
from core.registry.entries import Entry, EventEntry, StatusEntry, new_uuid, to_line
from core.registry.journal import Journal, merge_journal
from core.registry.live_runs import RECORDER_LOCK
from core.registry.merge import held_bytes, store_entries
from core.registry.migrate import ensure_schema
from core.registry.same_version import is_same_version
from core.registry.turns import Turns
from core.units import MIB

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.registry.store import Registry

MakeEntry = Callable[[], Entry | None]

_STORE_EVERY = 2  # looks at the queue; a transaction costs ten times what the journal does
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_MEMORY_BYTES = 64 * MIB


class _BehindError(Exception):
    """The registry holds less, or more, of the journal than this writer left there."""


class Writer:
    """Writes one run's entries.

    Args:
        registry: Where they go.
        run_uuid: The run.
        folder: The run folder.
        interval: Seconds between two looks at the queue; at every second one the database gets
            what the journal has.
        heartbeat: Seconds between two signs of life.
    """

    def __init__(
        self, registry: "Registry", run_uuid: str, folder: Path, interval: float, heartbeat: float
    ) -> None:
        self.problem: str | None = None
        self._registry = registry
        self._run_uuid = run_uuid
        self._folder = folder
        self._interval = interval
        self._heartbeat = heartbeat
        self._journal = Journal(folder)
        self._queue: deque[MakeEntry] = deque()
        self._unjournaled: list[bytes] = []
        self._unstored: list[Entry] = []
        self._unstored_bytes = 0
        self._behind = False
        self._held: int | None = None
        self._file = 0
        self._settled = False
        self._journal_failed = False
        self._pause = 0.0
        self._next_attempt = 0.0
        self._last_beat = time.monotonic()
        self._last_sign = -heartbeat
        self._turns = Turns(registry.database.path)
        # always taken in this order; building an entry can take long and may call for a heartbeat
        self._take_lock = threading.RLock()
        self._store_lock = threading.RLock()
        self._journal_lock = threading.RLock()
        self._wake = threading.Event()
        self._stopping = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="a5ctl-recorder", daemon=True)
        self._journaling = threading.Thread(
            target=self._write_journals, name="a5ctl-journal", daemon=True
        )

    @property
    def unsaved(self) -> bool:
        """Something is on no disk yet: neither in the journal nor in the database."""
        return bool(self._unjournaled or self._queue) and not self._stored()

    def start(self, *, behind: bool) -> None:
        """Begin.

        Args:
            behind: The journal holds what the registry does not, and is merged first.
        """
        self._behind = behind
        self._thread.start()
        self._journaling.start()

    def put(self, make: MakeEntry) -> None:
        """Queue an entry; it is built on the background thread. None is dropped."""
        self._queue.append(make)

    def flush(self, timeout: float) -> bool:
        """Bring everything to the disk, and wait a while for the database.

        Returns:
            True when the database holds everything; else the journal does, or `problem` says why
            not even that.
        """
        self._guarded(lambda: self._write_journal(sync=True))
        deadline = time.monotonic() + timeout
        while not self._stored() and time.monotonic() < deadline:
            if not self._thread.is_alive():
                self._guarded(self._store)
            if self._pause and not self._due():
                break
            self._wake.set()
            time.sleep(0.005)
        return self._stored()

    def stop(self, timeout: float) -> None:
        """Write what is left, once more even if the database failed a moment ago, and end."""
        self._stopping = True
        self._wake.set()
        self._ended.set()
        deadline = time.monotonic() + timeout
        for thread in (self._thread, self._journaling):
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
        self._next_attempt = 0.0
        self._guarded(lambda: self._write_journal(sync=True))
        if not self._thread.is_alive() and not self._stored():
            # nothing else will tell of this run: a registry that is gone is made anew
            self._behind = self._behind or not self._registry.database.exists()
            self._guarded(self._store)
            if self._queue:  # that it could be written again is to be told, too
                self._guarded(lambda: self._write_journal(sync=True))
                self._guarded(self._store)
        self._journal.close()

    def beat_if_due(self) -> None:
        """Give a sign of life between two long pieces of work on this thread."""
        if time.monotonic() - self._last_beat >= self._heartbeat:
            self._guarded(self._store)

    def _work(self) -> None:
        while not self._stopping:
            self._wake.wait(max(_STORE_EVERY * self._interval, self._turns.rest))
            self._wake.clear()
            self._guarded(lambda: self._write_journal(sync=False))
            self._guarded(self._store)

    def _write_journals(self) -> None:
        while not self._ended.is_set():
            self._give_sign()
            self._ended.wait(self._interval)
            self._guarded(lambda: self._write_journal(sync=False))

    def _give_sign(self) -> None:
        """A sign of life that needs no database: the time of the lock in the run folder."""
        if time.monotonic() - self._last_sign >= self._heartbeat:
            self._last_sign = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(self._folder / RECORDER_LOCK)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # whatever it is, training goes on and a person hears of it
            self._fail("recorder_failed", f"recording failed: {type(error).__name__}: {error}")

    def _stored(self) -> bool:
        return not (self._queue or self._unstored or self._behind)

    def _due(self) -> bool:
        return time.monotonic() >= self._next_attempt

    def _write_journal(self, *, sync: bool) -> None:
        with self._take_lock:
            while self._queue:
                self._take(self._queue[0])
                self._queue.popleft()
        self._append(sync=sync)

    def _append(self, *, sync: bool) -> None:
        with self._journal_lock:
            try:
                if self._unjournaled:
                    self._journal.append(self._unjournaled)
                    self._unjournaled.clear()
                    self._journal_recovered()
                if sync:
                    self._journal.sync()
            except OSError as error:
                self._journal_failed = True
                text = f"journal {self._journal.path} cannot be written: {error.strerror}"
                self._fail("journal_failed", f"{text}; what it misses is kept in memory")

    def _take(self, make: MakeEntry) -> None:
        try:
            entry = make()
            line = b"" if entry is None else to_line(entry)
        except Exception as error:  # one bad entry must not hold up the others
            text = f"an entry could not be recorded: {type(error).__name__}: {error}"
            self._fail("entry_refused", text)
            return
        if entry is None:
            return
        with self._journal_lock:
            self._unjournaled.append(line)
            self._unstored.append(entry)
            self._unstored_bytes += len(line)

    def _store(self) -> None:
        with self._store_lock:
            beat = time.monotonic() - self._last_beat >= self._heartbeat and not self._settled
            if not self._due() or not (self._unstored or self._behind or beat):
                return
            try:
                self._store_in_place()
            except (UserError, LookupError) as error:
                self._postpone(str(error.args[0]))
            else:
                self._recovered()

    def _store_in_place(self) -> None:
        """Store the batch; where the database is not the one that was left, merge into it first."""
        self._catch_up()
        try:
            self._store_batch()
        except (_BehindError, UserError) as error:
            if isinstance(error, UserError) and not self._another_file():
                raise
            self._behind = True
            self._catch_up()
            try:
                self._store_batch()
            except _BehindError:
                raise UserError(
                    f"the run folder {self._folder} is not where it was, and the registry does not "
                    "know the run; put both back"
                ) from None

    def _another_file(self) -> bool:
        return self._file not in (0, self._registry.database.files_opened)

    def _catch_up(self) -> None:
        """Merge what the registry lacks of the journal, the run itself where it is another file."""
        if not self._behind:
            return
        if self._stopping or self._registry.database.exists():
            # until the end the place of a file that is gone is left free for whoever restores it
            ensure_schema(self._registry.database)
        merge_journal(self._registry, self._folder)
        self._behind = False
        self._held = None

    def _store_batch(self) -> None:
        with self._journal_lock:
            if self._unjournaled:
                self._append(sync=False)  # nothing comes into the database first
            batch = list(self._unstored)
            mark = None if self._unjournaled or not self._journal.size else self._journal.size
        settles = any(isinstance(e, StatusEntry) and e.status != "running" for e in batch)
        with self._turns.taken(), self._registry.database.begin() as connection:
            self._turns.begun()
            held = self._check_place(connection)
            refused = store_entries(connection, self._run_uuid, batch, journal_bytes=mark)
            if not settles and not self._settled:
                self._registry.beat(connection, self._run_uuid)
        self._held = held if mark is None else mark
        self._file = self._registry.database.files_opened
        self._settled = self._settled or settles
        self._last_beat = time.monotonic()
        with self._journal_lock:
            del self._unstored[: len(batch)]
            self._unstored_bytes = 0
        for reason in refused:
            self._fail("entry_refused", f"the registry refused an entry: {reason}")

    def _check_place(self, connection: "Connection") -> int:
        """How much of the journal the registry holds, if that is what this writer knows.

        Somebody may have deleted the database, or put an older copy in its place: what came in
        between is in the journal, and only the journal says so.

        Raises:
            _BehindError: it is not, or the tables are those of an older version.
            NewerTablesError: a newer a5ctl has migrated it.
            LookupError: the run was deleted from this very database.
        """
        if not is_same_version(connection, self._registry.label):
            raise _BehindError
        try:
            held = held_bytes(connection, self._run_uuid)
        except LookupError:
            if self._another_file():
                raise _BehindError from None
            raise
        if self._held not in (None, held):
            raise _BehindError
        return held

    def _postpone(self, reason: str) -> None:
        first = not self._pause
        self._pause = min(_LONGEST_PAUSE_S, 2 * self._pause or _FIRST_PAUSE_S)
        self._next_attempt = time.monotonic() + self._pause
        self._fail("registry_unavailable", f"{reason}; the journal goes on", announce=first)
        with self._journal_lock:
            if self._unstored_bytes > _MEMORY_BYTES and not self._unjournaled:
                self._unstored.clear()
                self._unstored_bytes = 0
                self._behind = True

    def _recovered(self) -> None:
        if self._pause:
            self._pause = 0.0
            self.problem = None
            self._announce("info", "registry_recovered", "the registry can be written again")

    def _journal_recovered(self) -> None:
        if self._journal_failed:
            self._journal_failed = False
            self.problem = None
            self._announce("info", "journal_recovered", "the journal can be written again")

    def _fail(self, kind: str, text: str, *, announce: bool = True) -> None:
        if announce and self.problem != text:
            self._announce("warning", kind, text)
        self.problem = text

    def _announce(self, severity: str, kind: str, text: str) -> None:
        event = EventEntry(
            uuid=new_uuid(), time=time.time(), step=None, severity=severity, kind=kind, message=text
        )
        self._queue.append(lambda: event)
