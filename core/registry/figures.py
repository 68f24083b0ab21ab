"""How much a registry holds, and how much room it takes."""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from core.registry import run_queries
from core.registry.connections import open_for_reading
from core.registry.content import table_names
from core.registry.database import Database
from core.registry.garbage import size_of
from core.registry.journal import journal_size
from core.registry.liveness import display_status
from core.registry.migrate import schema_version
from core.registry.run_folders import folder_of
from core.registry.same_file import logs_beside
from core.workspace import CHECKPOINTS, Workspace


@dataclass(frozen=True, slots=True)
class RegistryFigures:
    """A registry in figures. Sizes are bytes.

    Attributes:
        version: Of the tables.
        rows: By table.
        runs: By the status that is shown.
        file_bytes: The database file; on a server its tables with their indexes.
        log_bytes: What SQLite keeps beside it; None on a server.
        free_bytes: Room inside the file that holds nothing; None on a server.
        journal_bytes: All journals.
        checkpoint_bytes: All checkpoints.
        other_bytes: Everything else in the run folders.
    """

    version: str | None
    rows: dict[str, int]
    runs: dict[str, int]
    file_bytes: int
    log_bytes: int | None
    free_bytes: int | None
    journal_bytes: int
    checkpoint_bytes: int
    other_bytes: int


def registry_figures(database: Database, workspace: Workspace) -> RegistryFigures:
    """Count everything.

    Raises:
        RegistryUnavailableError: the registry cannot be read.
    """
    runs = run_queries.list_runs(database, None, None, None, None)
    journals = checkpoints = everything = 0
    for run in runs:
        folder = folder_of(workspace, run)
        if folder.is_dir():
            journals += journal_size(folder)
            checkpoints += size_of(folder / CHECKPOINTS) if _there(folder, CHECKPOINTS) else 0
            everything += size_of(folder)
    room = _room_on_server(database) if database.path is None else _room_of_file(database.path)
    rows = {name: database.read(f'SELECT COUNT(*) FROM "{name}"')[0][0] for name in table_names()}
    return RegistryFigures(
        version=schema_version(database),
        rows=rows,
        runs=dict(Counter(display_status(run) for run in runs)),
        file_bytes=room[0],
        log_bytes=room[1],
        free_bytes=room[2],
        journal_bytes=journals,
        checkpoint_bytes=checkpoints,
        other_bytes=everything - journals - checkpoints,
    )


def _room_of_file(path: Path) -> tuple[int, int, int]:
    with closing(open_for_reading(path)) as connection:
        (pages,) = connection.execute("PRAGMA freelist_count").fetchone()
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    logs = sum(log.stat().st_size for log in logs_beside(path) if log.exists())
    return path.stat().st_size, logs, pages * page_bytes


def _room_on_server(database: Database) -> tuple[int, None, None]:
    sizes = ", ".join(f"pg_total_relation_size('\"{name}\"')" for name in table_names())
    return sum(database.read(f"SELECT {sizes}")[0]), None, None


def _there(folder: Path, name: str) -> bool:
    return (folder / name).is_dir()
