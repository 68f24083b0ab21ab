"""Where the registry's file is, for commands that look after it without opening it first."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.registry.database import Database
    from core.workspace import Workspace


def registry_place(
    home: Path | None, registry: str | None, instead: str, *, exists: bool = True
) -> "tuple[Workspace, Database, Path]":
    """The workspace, its registry, and the registry's file.

    A registry that is damaged, older, or not there is found all the same.

    Args:
        home: Value of `--home`.
        registry: Value of `--registry`.
        instead: What does the same for a registry on a server.
        exists: Insist on a file that is there.

    Raises:
        UserError: it is on a server, or (with `exists`) not there.
    """
    from core.errors import UserError
    from core.registry.database import Database
    from core.workspace import open_workspace

    workspace = open_workspace(home, create=False)
    database = Database(workspace.registry_url(registry))
    if database.path is None:
        raise UserError(
            f"registry {database.label} is on a server, and this command works on SQLite files; "
            f"{instead}"
        )
    if exists:
        _check_file(database)
    return workspace, database, database.path


def existing_registry(home: Path | None, registry: str | None) -> "tuple[Workspace, Database]":
    """The workspace and its registry, in a file or on a server.

    Raises:
        UserError: there is no such file.
    """
    from core.registry.database import Database
    from core.workspace import open_workspace

    workspace = open_workspace(home, create=False)
    database = Database(workspace.registry_url(registry))
    _check_file(database)
    return workspace, database


def _check_file(database: "Database") -> None:
    from core.errors import UserError

    if database.path is not None and not database.path.is_file():
        raise UserError(
            f"there is no registry {database.label}; name another place with --home, or rebuild it "
            "from the run folders with: a5ctl registry repair"
        )
