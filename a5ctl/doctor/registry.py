"""What `a5ctl doctor` looks at in a workspace's records, and what of it can be mended safely.

Mending never loses anything: a repair keeps the old database beside the new one, and only runs
whose process is known to be gone are closed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from a5ctl.doctor.check import Check, Status
from a5ctl.format import first_of
from core.errors import UserError

if TYPE_CHECKING:
    from core.registry.records import RunRecord
    from core.registry.store import Registry

_SHOWN = 3


def record_checks(home: Path | None, registry: str | None) -> Iterator[Check]:
    """The registry, the runs that died without a word, and the file of defaults."""
    yield from _registry(home, registry)
    yield _defaults(home)


def mend(check: Check, home: Path | None, registry: str | None) -> str:
    """Mend what a check has found; returns what was done, in words.

    Raises:
        UserError: it cannot be mended here.
    """
    if check.name == "folder":
        return _make_folder(home)
    if check.name == "registry":
        return _repair(home, registry)
    if check.name == "lost runs":
        return _close_lost(home, registry)
    raise UserError(f"{check.name} is not mended by itself; do: {check.fix}")


def _registry(home: Path | None, registry: str | None) -> Iterator[Check]:
    from a5ctl.options import open_workspace_and_registry

    if home is not None and not home.expanduser().exists():
        yield Check("workspace", "registry", Status.OK, "none yet; the first run makes it")
        return
    try:
        _, store = open_workspace_and_registry(home, registry)
        runs = store.count_runs(archived=True)
        lost = _lost(store)
    except UserError as error:
        yield _unusable(str(error), home, registry)
        return
    yield Check("workspace", "registry", Status.OK, f"readable, {runs} runs")
    if lost:
        names = first_of([run.id for run in lost], _SHOWN)
        yield Check(
            "workspace", "lost runs", Status.WARN,
            f"{names}: their processes are gone, and they never said how they ended",
            f"a5ctl close {lost[0].id}, or a5ctl resume {lost[0].id}", mendable=True,
        )  # fmt: skip


def _lost(store: "Registry") -> "list[RunRecord]":
    from core.registry.liveness import LOST

    return store.runs(status=str(LOST), archived=True)


def _unusable(reason: str, home: Path | None, registry: str | None) -> Check:
    """Where journals are, a registry that is gone or damaged can be made anew from them."""
    value, _, rest = reason.partition("; ")
    repairable = _repairable(home, registry)
    fix = "a5ctl registry repair" if repairable else rest or "a5ctl registry check"
    return Check("workspace", "registry", Status.FAIL, value, fix, mendable=repairable)


def _repairable(home: Path | None, registry: str | None) -> bool:
    """It is an SQLite file, gone or of no use to SQLite, and there are journals."""
    import sqlite3

    from core.registry.database import Database
    from core.registry.journal import JOURNAL_NAME
    from core.workspace import open_workspace

    try:
        workspace = open_workspace(home, create=False)
        path = Database(workspace.registry_url(registry)).path
    except UserError:
        return False
    if path is None or next(workspace.runs_dir.glob(f"[!.]*/{JOURNAL_NAME}"), None) is None:
        return False
    if not path.exists():
        return True
    try:
        sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True).execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as error:
        return "not a database" in str(error) or "malformed" in str(error)
    return False


def _defaults(home: Path | None) -> Check:
    import os

    from a5ctl.defaults import FILE_NAME, read_file

    root = Path(home or os.environ.get("A5CTL_HOME") or Path.cwd()).expanduser().absolute()
    path = root / FILE_NAME
    if not path.is_file():
        return Check("workspace", "defaults", Status.OK, "built in; a5ctl init writes others")
    try:
        settings = read_file(path)
    except UserError as error:
        fix = "a5ctl init --force replaces it"
        return Check("workspace", "defaults", Status.FAIL, str(error), fix)
    return Check("workspace", "defaults", Status.OK, f"{FILE_NAME}: {', '.join(settings) or '-'}")


def _make_folder(home: Path | None) -> str:
    from core.workspace import open_workspace

    return f"made {open_workspace(home, create=True).root}"


def _repair(home: Path | None, registry: str | None) -> str:
    from core.registry.database import Database
    from core.registry.rebuild import rebuild
    from core.workspace import open_workspace

    workspace = open_workspace(home, create=False)
    database = Database(workspace.registry_url(registry))
    if database.path is None:
        raise UserError(f"registry {database.label} is on a server")
    made = rebuild(database, database.path, workspace, force=False)
    kept = "" if made.kept is None else f"; the old file is {made.kept}"
    if not made.replaced:
        raise UserError(f"{made.path} holds what no journal has; see: a5ctl registry repair")
    return f"made {made.path} anew from the journals, with {made.runs} runs{kept}"


def _close_lost(home: Path | None, registry: str | None) -> str:
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.settling import settle

    workspace, store = open_workspace_and_registry(home, registry)
    lost = _lost(store)
    for run in lost:
        settle(workspace, store, run, "closed by a5ctl doctor --fix")
    return f"closed {', '.join(run.id for run in lost)}; a5ctl resume goes on with any of them"
