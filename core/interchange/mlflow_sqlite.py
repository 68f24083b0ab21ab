"""MLflow's SQLite store: experiments, runs, parameters, metrics and tags; the file is only read.

What MLflow cannot hold it writes in its own way, and that is undone here: NaN is the value 0 with a
flag, and infinities are the largest finite numbers.
"""

import hashlib
import math
import sqlite3
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from core.errors import UserError
from core.interchange.foreign import ForeignRun, Source
from core.interchange.guesses import guess_data, guess_model, guess_seed
from core.interchange.limits import (
    LONGEST_TEXT,
    short_name,
    short_text,
    step_of,
    tidy_settings,
    time_of,
)
from core.interchange.sentences import counted
from core.registry.records import RunStatus

SQLITE_MAGIC = b"SQLite format 3\0"
_NEEDED = {"experiments", "runs", "params", "metrics", "tags"}
_STATUSES = {"FINISHED": RunStatus.FINISHED, "FAILED": RunStatus.FAILED}
_QUERY_SECONDS = 120.0
_STEPS_BETWEEN_CHECKS = 100_000
_NOTE, _PARENT, _NAME = "mlflow.note.content", "mlflow.parentRunId", "mlflow.runName"
_ORIGIN_TAGS = {
    "mlflow.source.name": "program",
    "mlflow.source.git.commit": "commit",
    "mlflow.source.git.repoURL": "remote",
    "mlflow.source.git.branch": "branch",
}
_RUNS = """SELECT run_uuid, name, experiment_id, status, start_time, end_time, lifecycle_stage
    FROM runs ORDER BY start_time, run_uuid"""
Row = tuple[Any, ...]


def is_mlflow(path: Path) -> bool:
    """Whether a file is an SQLite database with MLflow's tables."""
    try:
        with _opened(path) as database:
            return _tables(database) >= _NEEDED
    except (UserError, OSError):
        return False


def read_mlflow(path: Path) -> Iterator[ForeignRun]:
    """Every run of a store that was not deleted there, one at a time.

    Args:
        path: The `.db` file.

    Raises:
        UserError: it is no such store, or cannot be read.
    """
    with _opened(path) as database:
        if missing := _NEEDED - _tables(database):
            raise UserError(f"{path} is no MLflow store: it has no table {min(missing)}")
        named = _rows(database, "SELECT experiment_id, name FROM experiments")
        experiments: dict[Any, Any] = {row[0]: row[1] for row in named}
        runs = _rows(database, _RUNS)
        kept = [row for row in runs if row[-1] != "deleted" and _usable(row[0])]
        params = _grouped(database, "SELECT run_uuid, key, substr(value, 1, :most) FROM params")
        tags = _grouped(database, "SELECT run_uuid, key, substr(value, 1, :most) FROM tags")
        for number, row in enumerate(kept):
            told = tags.get(row[0], {}), params.get(row[0], {})
            run = _run(path, row, experiments.get(row[2]), *told)
            _take_metrics(database, run)
            facts = repr((row, sorted(told[0].items()), sorted(told[1].items()), run.group))
            run.fingerprint = hashlib.sha256(f"{facts}{run.curves.digest()}".encode()).hexdigest()
            if number == 0 and len(runs) > len(kept):
                deleted = len(runs) - len(kept)
                run.left_out.append(f"{deleted} other runs of the store, deleted there")
            yield run


def _run(
    path: Path,
    row: Row,
    experiment: Any,
    told: dict[str, str],
    params: dict[str, str],
) -> ForeignRun:
    identity, name, _, status, start, end, _ = row
    run = ForeignRun(Source.MLFLOW, identity, path, "")
    run.name = short_name(told.get(_NAME) or name or "") or None
    run.group = short_name(experiment or "") or None
    run.note = short_text(told.get(_NOTE, ""))
    run.parent = told.get(_PARENT)
    run.tags = tuple(_label(k, v) for k, v in told.items() if not k.startswith("mlflow."))[:100]
    values = {key: _decoded(text) for key, text in params.items()}
    run.settings, cut = tidy_settings(values)
    run.seed = guess_seed(run.settings)
    run.model, run.data = guess_model(run.settings), guess_data(run.settings)
    run.started, run.ended = _milliseconds(start), _milliseconds(end)
    run.created = run.started
    run.status = _STATUSES.get(str(status), RunStatus.INTERRUPTED)
    known = run.status is RunStatus.FINISHED
    run.exit_reason = "completed" if known else f"MLflow has it as {short_name(status)}"
    run.origin = {_ORIGIN_TAGS[k]: short_text(v) for k, v in told.items() if k in _ORIGIN_TAGS}
    run.origin = {**run.origin, "run_id": identity}
    if cut:
        run.left_out.append(f"{cut} parameters beyond what a run can have")
    return run


def _take_metrics(database: sqlite3.Connection, run: ForeignRun) -> None:
    sql = """SELECT key, step, timestamp, value, is_nan FROM metrics WHERE run_uuid = :run
        ORDER BY step, timestamp"""
    passed_over: Counter[str] = Counter()
    for key, step, when, value, is_nan in _each(database, sql, {"run": run.identity}):
        number, whole = _metric_value(value, is_nan), step_of(step)
        if number is None or whole is None or not isinstance(key, str):
            passed_over["values without a number or a step from 0"] += 1
            continue
        run.curves.add(key, whole, _milliseconds(when) or 0.0, number)
    run.left_out += counted(passed_over)
    if run.ended is None:
        run.ended = run.curves.span()[1] or run.started
    if run.started is None:
        run.started = run.created = run.curves.span()[0]


def _metric_value(value: Any, is_nan: Any) -> float | None:
    if is_nan in (1, True):
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    largest = sys.float_info.max
    return math.copysign(math.inf, value) if abs(value) >= largest else float(value)


def _decoded(text: str) -> Any:
    """Parameters are all texts there: numbers and truth values become what they were."""
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text) if len(text) <= 30 else text
        except ValueError:
            continue
    return None if text == "None" else text


def _label(key: str, value: str) -> str:
    return short_name(f"{key}={value}" if value else key)


def _milliseconds(value: Any) -> float | None:
    return time_of(value / 1000) if isinstance(value, int | float) else None


def _usable(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 64


def _grouped(database: sqlite3.Connection, sql: str) -> dict[str, dict[str, str]]:
    """Keys and values by run."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for run, key, value in _each(database, sql, {"most": LONGEST_TEXT}):
        if isinstance(run, str) and isinstance(key, str):
            found[run][key] = "" if value is None else str(value)
    return found


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can only read, gives up on endless queries, and trusts no schema."""
    deadline = time.monotonic() + _QUERY_SECONDS
    try:
        with closing(_connect(path)) as database:
            database.execute("PRAGMA query_only = ON")
            database.execute("PRAGMA trusted_schema = OFF")
            database.text_factory = lambda raw: raw.decode("utf-8", "replace")
            database.set_progress_handler(
                lambda: int(time.monotonic() > deadline), _STEPS_BETWEEN_CHECKS
            )
            yield database
    except sqlite3.Error as error:
        raise UserError(f"{path} cannot be read as an SQLite database: {error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    place = quote(str(path.resolve()))
    database = sqlite3.connect(f"file:{place}?mode=ro", uri=True, timeout=10)
    try:
        database.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        # a store with a log in a folder that cannot be written is read without the log
        database.close()
        database = sqlite3.connect(f"file:{place}?mode=ro&immutable=1", uri=True, timeout=10)
    return database


def _tables(database: sqlite3.Connection) -> set[str]:
    """Real tables: a view could be anything."""
    return {row[0] for row in _rows(database, "SELECT name FROM sqlite_master WHERE type='table'")}


def _rows(database: sqlite3.Connection, sql: str) -> list[Row]:
    return database.execute(sql).fetchall()


def _each(database: sqlite3.Connection, sql: str, given: dict[str, Any]) -> Iterator[Row]:
    yield from database.execute(sql, given)
