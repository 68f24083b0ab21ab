"""Makes a registry anew from the run folders alone, and puts it in the place of the old one."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from core.errors import UserError
from core.registry.connections import open_for_reading
from core.registry.content import SHARED, count_different_labels, count_lacking, table_names
from core.registry.database import Database, RegistryUnavailableError
from core.registry.from_config import adopt_config, take_choices
from core.registry.journal import JOURNAL_NAME, merge_journal
from core.registry.lock import FileLock
from core.registry.merge import last_description
from core.registry.migrate import lock_path, schema_version
from core.registry.migrations import HEAD
from core.registry.plans import journaled_plans, store_plans
from core.registry.run_folders import run_folders
from core.registry.same_file import logs_beside
from core.registry.store import Registry, open_registry
from core.registry.unjournaled import journal_the_rest
from core.workspace import Workspace

_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What came of a repair.

    Attributes:
        path: The registry.
        kept: Where the old file is now; None where there was none, or nothing was replaced.
        replaced: The new file has taken the place of the old one.
        runs: Runs in the new file.
        lines: Lines of run journals that were read.
        damaged: Lines that could not be read.
        skipped: Folders that brought no run, with the reason.
        compared: The old file could be read, and was compared.
        journaled: What only the old file held and the journals have now, by what it is.
        lacking: Rows by table that only the old file has.
        labels: Runs whose name, group, tags or note are others in the old file.
    """

    path: Path
    kept: Path | None
    replaced: bool
    runs: int
    lines: int
    damaged: int
    skipped: Mapping[str, str]
    compared: bool
    journaled: Mapping[str, int]
    lacking: Mapping[str, int]
    labels: int

    @property
    def loses(self) -> bool:
        """The old file has something that the new one has not."""
        return bool(self.lacking or self.labels)


@dataclass(slots=True)
class _Tally:
    lines: int = 0
    damaged: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


def rebuild(
    database: Database,
    path: Path,
    workspace: Workspace,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    force: bool,
) -> Rebuilt:
    """Read every journal into a new file, compare it with the old one, and let it take its place.

    What only a sound old file holds is written into the journals first, where that can be done.
    Runs that are alive go on: they notice the new file and bring in what it lacks of them. The old
    file is kept beside the new one.

    Args:
        database: The registry; its connections are closed.
        path: Its file, which need not be there.
        workspace: Whose run folders are read.
        on_progress: Called with the number of journals read, and of all of them.
        force: Replace the old file even where it has what no journal can bring back.

    Raises:
        UserError: the new file cannot be written, or the old one has older tables.
        OSError: the files cannot be moved.
    """
    database.close()
    fresh = path.with_name(f".{path.name}.rebuilt")
    with _alone(database):
        _remove(fresh)
        try:
            registry = open_registry(f"sqlite:///{fresh}")
            tally = _fill(registry, workspace, on_progress)
            compared = path.exists() and _readable(database, path)
            lacking, labels = _compare(path, fresh) if compared else ({}, 0)
            journaled: dict[str, int] = {}
            if lacking:
                journaled = journal_the_rest(Registry(database), registry, workspace)
                lacking, labels = _compare(path, fresh)
            runs = registry.count_runs(archived=True)
            registry.close()
            database.close()
            replace = force or not (lacking or labels)
            kept = _take_place(path, fresh) if replace else None
        finally:
            database.close()
            _remove(fresh)
    return Rebuilt(
        path=path,
        kept=kept,
        replaced=replace,
        runs=runs,
        lines=tally.lines,
        damaged=tally.damaged,
        skipped=tally.skipped,
        compared=compared,
        journaled=journaled,
        lacking=lacking,
        labels=labels,
    )


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Keep other repairs and upgrades out.

    Raises:
        UserError: one of them is at work.
    """
    lock = FileLock(lock_path(database), timeout=_PATIENCE_S)
    try:
        lock.__enter__()
    except TimeoutError as error:
        raise UserError(
            f"registry {database.label} is being upgraded or repaired by another process; try "
            "again later"
        ) from error
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _fill(
    registry: Registry, workspace: Workspace, on_progress: Callable[[int, int], None]
) -> _Tally:
    """Merge the plans, and every journal in the order in which the runs were made."""
    tally = _Tally()
    plans, tally.damaged = journaled_plans(workspace)
    store_plans(registry.database, plans)
    described, others = [], []
    for folder in run_folders(workspace):
        entry = last_description(folder / JOURNAL_NAME)
        if entry is None:
            others.append(folder)
            continue
        columns = entry.columns
        copied = columns.get("id") != folder.name
        described.append((float(columns.get("created") or 0), copied, folder, columns["uuid"]))
    owners: dict[str, Path] = {}
    for done, (_, _, folder, uuid) in enumerate(sorted(described)):
        on_progress(done, len(described))
        if uuid in owners:
            tally.skipped[folder.name] = f"it holds the same run as {owners[uuid].name}"
            continue
        owners[uuid] = folder
        _merge(registry, folder, tally)
    for folder in others:
        if problem := adopt_config(registry, folder):
            tally.skipped[folder.name] = problem
    return tally


def _merge(registry: Registry, folder: Path, tally: _Tally) -> None:
    try:
        report = merge_journal(registry, folder)
    except UserError as error:
        tally.skipped[folder.name] = str(error)
        return
    tally.lines += report.merged
    tally.damaged += report.damaged
    if report.run_id is not None:
        take_choices(registry, registry.find_run(report.run_id), folder)


def _readable(database: Database, old: Path) -> bool:
    """Whether the old file is sound, so that it can be compared.

    Raises:
        UserError: it is, but its tables are those of another version.
    """
    try:
        with closing(open_for_reading(old)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        version = schema_version(database)
    except (sqlite3.DatabaseError, RegistryUnavailableError):
        return False
    if verdict != "ok" or version is None:
        return False
    if version != HEAD:
        raise UserError(
            f"registry {old} has the tables of version {version}, which cannot be compared with "
            f"those of {HEAD}; bring it up to date first with: a5ctl registry migrate"
        )
    return True


def _compare(old: Path, new: Path) -> tuple[dict[str, int], int]:
    """Rows by table that only the old file has, and runs that are labelled otherwise there."""
    with closing(sqlite3.connect(f"file:{quote(str(new))}?mode=rw", uri=True)) as connection:
        connection.execute("ATTACH ? AS old", (f"file:{quote(str(old))}?mode=rw",))
        names = (name for name in table_names() if name not in SHARED)
        lacking = {name: count_lacking(connection, name, "old", "main") for name in names}
        labels = count_different_labels(connection, "old", "main")
    return {name: count for name, count in lacking.items() if count}, labels


def _take_place(path: Path, fresh: Path) -> Path | None:
    """Move the old file aside with its logs, which must never lie beside another file."""
    kept = _free_name(path) if path.exists() else None
    if kept is not None:
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path, timeout=1)) as old:
            # with empty logs it is whole even if a kill comes between the next lines
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        path.rename(kept)
    for index, log in enumerate(logs_beside(path)):
        if kept is not None and log.exists():
            log.rename(logs_beside(kept)[index])
        log.unlink(missing_ok=True)
    fresh.replace(path)
    return kept


def _free_name(path: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    kept = path.with_name(f"{path.name}.before-repair-{stamp}")
    number = 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.before-repair-{stamp}-{number}")
    return kept


def _remove(fresh: Path) -> None:
    for left in (fresh, *logs_beside(fresh), fresh.with_name(f"{fresh.name}.lock")):
        left.unlink(missing_ok=True)
