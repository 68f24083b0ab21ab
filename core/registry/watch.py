"""Was a registry written to? Answered for next to nothing, for screens that stay open.

SQLite counts the commits of others (`PRAGMA data_version`), so that an untouched file costs one
small system call. A server is asked for a line of totals over its runs instead: every entry that a
run stores moves its sign of life and the bytes of its journal.
"""

import sqlite3
from typing import Any, NamedTuple

from core.registry.connections import open_for_reading
from core.registry.database import Database
from core.registry.same_file import FileIdentity, identity_of

_TOTALS = """SELECT COUNT(*), MAX(key), SUM(journal_bytes), MAX(heartbeat), MAX(ended),
    SUM(CAST(hashtext(status || tags || note || archived) AS BIGINT)) FROM run"""

Sign = tuple[Any, ...]


class RunMarks(NamedTuple):
    """How far the records of one run go; what did not move needs no reading.

    Attributes:
        segments: Resumes and rollbacks so far.
        last_step: Last step with a metric; -1 without.
        evaluations: How many, and the key of the newest.
        events: The same of events.
    """

    segments: int
    last_step: int
    evaluations: tuple[int, int]
    events: tuple[int, int]


class RegistryWatch:
    """Tells whether anybody wrote since the last look; to be used by one thread.

    Args:
        database: What to watch.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None
        self._file: FileIdentity | None = None
        self._seen: object = None

    def changed(self) -> bool:
        """True at the first look, and whenever something was committed since the last one.

        Raises:
            RegistryUnavailableError: the registry cannot be read.
        """
        now = self._sign()
        before, self._seen = self._seen, now
        return now != before

    def close(self) -> None:
        """Close the connection; the next look opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _sign(self) -> object:
        if self._database.path is None:
            return tuple(self._database.read(_TOTALS)[0])
        file = identity_of(self._database.path)
        if file is None:
            self.close()
            return "gone"
        try:
            if self._connection is None or file != self._file:
                self.close()
                self._connection = open_for_reading(self._database.path)
                self._file = file
            return file, self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise self._database.unavailable(error) from error


def run_signs(database: Database) -> dict[str, Sign]:
    """A sign of every run by uuid, newest run first: two equal ones, and nothing about it moved."""
    sql = """SELECT uuid, status, journal_bytes, heartbeat, ended, archived, tags, note, exit_reason
        FROM run ORDER BY created DESC, key DESC"""
    return {uuid: tuple(sign) for uuid, *sign in database.read(sql)}


def run_marks(database: Database, run_uuid: str) -> RunMarks:
    """How far the records of a run go; of an unknown run they do not begin."""
    sql = """SELECT (SELECT COUNT(*) FROM segment s WHERE s.run = r.key),
            (SELECT MAX(m.last_step) FROM metric_summary m WHERE m.run = r.key),
            (SELECT COUNT(*) FROM evaluation e WHERE e.run = r.key),
            (SELECT MAX(e.key) FROM evaluation e WHERE e.run = r.key),
            (SELECT COUNT(*) FROM event v WHERE v.run = r.key),
            (SELECT MAX(v.key) FROM event v WHERE v.run = r.key)
        FROM run r WHERE r.uuid = :uuid"""
    rows = database.read(sql, {"uuid": run_uuid})
    if not rows:
        return RunMarks(0, -1, (0, 0), (0, 0))
    segments, step, evaluations, newest, events, last = rows[0]
    marks = (evaluations, newest or 0), (events, last or 0)
    return RunMarks(segments, -1 if step is None else step, *marks)
