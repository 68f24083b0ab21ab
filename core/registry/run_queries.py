"""Queries about runs."""

import difflib
from collections.abc import Sequence
from functools import cache
from typing import Any

from core.errors import UserError
from core.registry.codec import clean, stored_table
from core.registry.database import Database, Row
from core.registry.records import (
    ArtifactRecord,
    EventRecord,
    Headline,
    NamesInUse,
    RunRecord,
    RunStatus,
)

_COLUMNS = """key, uuid, id, kind, name, "group", status, parent_uuid, config_hash, protocol_hash,
seed, model, model_hash, data, data_hash, size, created, started, ended, host, pid, process_start,
heartbeat, exit_reason, folder, journal_bytes, tags, note, config, archived"""
_STATUS = 6
_STATUSES = frozenset(RunStatus)
_NAMES = tuple(name.strip().strip('"') for name in _COLUMNS.split(","))
_WHOLE = {"key", "seed", "size", "pid", "journal_bytes", "archived"}
_TIMES = {"created", "started", "ended", "heartbeat"}
_TIME_PLACES = tuple(place for place, name in enumerate(_NAMES) if name in _TIMES)
_NEEDED = {"key", "uuid", "id", "kind", "status", "created", "folder", "journal_bytes", "config"}
_YEAR_9999 = 253_402_214_400
_AMONG = "r.uuid IN (:values)"
_NAMED_IN_A_QUERY = 500

LAST_EVALUATION = """(SELECT l.key FROM evaluation l
    WHERE l.run = r.key AND NOT EXISTS (SELECT 1 FROM segment s
        WHERE s.run = l.run AND s.number > l.segment AND s.start_step < l.step)
    ORDER BY l.step DESC, l.segment DESC, l.key DESC LIMIT 1)"""
"""Key of the last evaluation of a run `r` that no rollback or resume took back.

Of one step the one stored last: keys grow, while a clock may have been set back.
"""


def list_runs(
    database: Database,
    kind: str | None,
    group: str | None,
    status: str | None,
    limit: int | None,
    *,
    archived: bool = True,
) -> list[RunRecord]:
    """Runs, newest first, that fit everything given."""
    where, parameters = _conditions(kind, group, status, archived=archived)
    sql = f"SELECT {_COLUMNS} FROM run{where} ORDER BY created DESC, key DESC"
    if limit is not None:
        sql += " LIMIT :limit"
        parameters["limit"] = limit
    return [_record(row) for row in database.read(sql, parameters)]


def count_runs(
    database: Database, kind: str | None, group: str | None, *, archived: bool = True
) -> int:
    """How many runs fit everything given."""
    where, parameters = _conditions(kind, group, None, archived=archived)
    rows = database.read(f"SELECT COUNT(*) FROM run{where}", parameters)
    return int(rows[0][0]) if rows else 0


def names_in_use(database: Database) -> NamesInUse:
    """Groups and kinds of all runs."""
    groups = database.read('SELECT DISTINCT "group" FROM run WHERE "group" IS NOT NULL')
    kinds = database.read("SELECT DISTINCT kind FROM run")
    return NamesInUse(tuple(row[0] for row in groups), tuple(row[0] for row in kinds))


def _conditions(
    kind: str | None, group: str | None, status: str | None, *, archived: bool
) -> tuple[str, dict[str, Any]]:
    given = {"kind": kind, '"group"': group, "status": status}
    wanted = {column: value for column, value in given.items() if value is not None}
    parts = [f"{column} = :{column.strip(chr(34))}" for column in wanted]
    parts += [] if archived else ["NOT archived"]
    parameters: dict[str, Any] = {column.strip('"'): value for column, value in wanted.items()}
    return (f" WHERE {' AND '.join(parts)}" if parts else ""), parameters


def run_by_uuid(database: Database, uuid: str) -> RunRecord | None:
    """The run with this identity."""
    rows = database.read(f"SELECT {_COLUMNS} FROM run WHERE uuid = :uuid", {"uuid": uuid})
    return _record(rows[0]) if rows else None


def unsettled_runs(database: Database) -> list[RunRecord]:
    """Runs that are queued or running as far as the registry knows."""
    sql = f"SELECT {_COLUMNS} FROM run WHERE status IN ('queued', 'running')"
    return [_record(row) for row in database.read(sql)]


def find_run(database: Database, reference: str) -> RunRecord:
    """The run that a person means: short id, uuid, name, or a unique beginning or ending of an id.

    Raises:
        UserError: no run, or several, fit.
    """
    sql = f"SELECT {_COLUMNS} FROM run WHERE id = :reference OR uuid = :reference"
    exact = database.read(sql, {"reference": clean(reference)})
    if len(exact) == 1:
        return _record(exact[0])
    names = database.read("SELECT uuid, id, name FROM run ORDER BY created DESC")
    found = _matches(names, reference)
    if len(found) == 1:
        run = run_by_uuid(database, found[0][0])
        if run is not None:
            return run
    if found:
        ids = ", ".join(str(row[1]) for row in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise UserError(f"{reference!r} fits several runs ({ids}{more}); give the whole id of one")
    raise UserError(_unknown(database, names, reference))


def _matches(names: Sequence[Row], reference: str) -> list[Row]:
    """The best kind of match wins, so that an id is never ambiguous with a longer one."""
    exact = [row for row in names if reference in (row[0], row[1])]
    named = [row for row in names if row[2] == reference]
    begins = [row for row in names if row[1].startswith(reference)]
    ends = [row for row in names if row[1].endswith(f"-{reference}")]
    long_enough = len(reference) >= 6
    uuids = [row for row in names if long_enough and row[0].startswith(reference)]
    if not reference:
        return []
    return exact or named or begins or ends or uuids


def _unknown(database: Database, names: Sequence[Row], reference: str) -> str:
    if not names:
        return f"there is no run {reference!r}: registry {database.label} has no runs yet"
    known = [text for row in names for text in (row[1], row[2]) if text]
    near = difflib.get_close_matches(reference, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "a5ctl ls lists the runs"
    return f"there is no run {reference!r} in {database.label}; {hint}"


def segments(database: Database, run_uuid: str) -> list[tuple[int, int]]:
    """(number, start step) of every segment but the first."""
    sql = """SELECT s.number, s.start_step FROM segment s JOIN run r ON r.key = s.run
        WHERE r.uuid = :uuid ORDER BY s.number"""
    return [(row[0], row[1]) for row in database.read(sql, {"uuid": run_uuid})]


def runs_by_uuid(database: Database, run_uuids: Sequence[str]) -> list[RunRecord]:
    """These runs, in the order asked for; unknown ones are left out."""
    sql = f"SELECT {_COLUMNS} FROM run r WHERE {_AMONG}"
    found = {run.uuid: run for run in map(_record, read_among(database, sql, run_uuids))}
    return [found[uuid] for uuid in run_uuids if uuid in found]


def read_among(
    database: Database, sql: str, run_uuids: Sequence[str], **parameters: Any
) -> list[Row]:
    """Rows of a query with `r.uuid IN (:values)`, in one query however many runs there are.

    Of very many runs all are read, so that the caller has to look at what a row belongs to.
    """
    if len(run_uuids) > _NAMED_IN_A_QUERY:
        return database.read(sql.replace(_AMONG, "1 = 1"), parameters)
    return database.read_in(sql, list(run_uuids), **parameters)


def headlines(database: Database, run_uuids: Sequence[str]) -> dict[str, Headline]:
    """The last evaluation of every run that has one."""
    sql = f"""SELECT r.uuid, e.step, e.split, e.n, e.accuracy, e.interval_low, e.interval_high
        FROM run r JOIN evaluation e ON e.key = {LAST_EVALUATION} WHERE {_AMONG}"""
    found = {}
    for uuid, step, split, n, accuracy, low, high in read_among(database, sql, run_uuids):
        found[uuid] = Headline(step, split, n, accuracy, (low, high))
    return found


def last_steps(database: Database, run_uuids: Sequence[str]) -> dict[str, int]:
    """The last step that every run recorded a metric for."""
    sql = f"""SELECT r.uuid, MAX(m.last_step) FROM metric_summary m JOIN run r ON r.key = m.run
        WHERE {_AMONG} GROUP BY r.uuid"""
    return {row[0]: row[1] for row in read_among(database, sql, run_uuids)}


def events(database: Database, run_uuid: str) -> list[EventRecord]:
    """A run's events, oldest first."""
    sql = """SELECT e.time, e.step, e.severity, e.kind, e.message, e.data
        FROM event e JOIN run r ON r.key = e.run WHERE r.uuid = :uuid ORDER BY e.time, e.key"""
    return [_event(row) for row in database.read(sql, {"uuid": run_uuid})]


def artifacts(database: Database, run_uuid: str) -> list[ArtifactRecord]:
    """A run's artifacts, oldest first."""
    sql = """SELECT a.kind, a.path, a.bytes, a.sha256, a.time
        FROM artifact a JOIN run r ON r.key = a.run WHERE r.uuid = :uuid ORDER BY a.time, a.key"""
    return [ArtifactRecord(*row) for row in database.read(sql, {"uuid": run_uuid})]


def children(database: Database, run_uuid: str) -> list[RunRecord]:
    """Runs that started from this one, oldest first."""
    sql = f"SELECT {_COLUMNS} FROM run WHERE parent_uuid = :uuid ORDER BY created"
    return [_record(row) for row in database.read(sql, {"uuid": run_uuid})]


def ancestors(database: Database, run: RunRecord) -> list[RunRecord]:
    """The runs that a run descends from, the nearest first, as far as they are stored."""
    found: list[RunRecord] = []
    seen = {run.uuid}
    while run.parent_uuid is not None and run.parent_uuid not in seen:
        parent = run_by_uuid(database, run.parent_uuid)
        if parent is None:
            break
        seen.add(parent.uuid)
        found.append(parent)
        run = parent
    return found


def descendants(database: Database, run_uuid: str) -> list[RunRecord]:
    """Runs that started from this one or from such a run, oldest first."""
    sql = f"""WITH RECURSIVE below(uuid) AS (
            SELECT uuid FROM run WHERE parent_uuid = :uuid
            UNION SELECT r.uuid FROM run r JOIN below b ON r.parent_uuid = b.uuid)
        SELECT {_COLUMNS} FROM run WHERE uuid <> :uuid AND uuid IN (SELECT uuid FROM below)
        ORDER BY created, key"""
    return [_record(row) for row in database.read(sql, {"uuid": run_uuid})]


def _event(row: Row) -> EventRecord:
    data = None if row[5] is None else stored_table(row[5], "what an event tells")
    time, step, severity, kind, message, _ = row
    return EventRecord(time, step, severity, kind, message, data)


def _record(row: Row) -> RunRecord:
    """Raises UserError where somebody has put something else into the row than a run."""
    if not _fits(tuple(map(type, row))) or not _in_time(row) or row[_STATUS] not in _STATUSES:
        raise UserError(
            f"the row of run {str(row[2])[:60]!r} in the registry is damaged: it holds what no "
            "run can have; correct it, or restore a backup of the registry"
        )
    values = (*row[:_STATUS], RunStatus(row[_STATUS]), *row[_STATUS + 1 : -1], bool(row[-1]))
    return RunRecord(*values)


@cache
def _fits(kinds: tuple[type, ...]) -> bool:
    """SQLite keeps a value of any type in any column; asked once for rows that are alike."""
    return all(
        issubclass(kind, int if name in _WHOLE else int | float if name in _TIMES else str)
        or (kind is type(None) and name not in _NEEDED)
        for name, kind in zip(_NAMES, kinds, strict=True)
    )


def _in_time(row: Row) -> bool:
    return all(row[place] is None or 0 <= row[place] < _YEAR_9999 for place in _TIME_PLACES)
