"""`a5ctl registry path|stats|migrate`: where the registry is, what it holds, and its version."""

from typing import TYPE_CHECKING

from a5ctl.options import HomeOption, JsonOption, QuietOption, RegistryOption

if TYPE_CHECKING:
    from core.registry.figures import RegistryFigures


def path(home: HomeOption = None, registry: RegistryOption = None) -> None:
    """Print where the registry is, whether or not it is there.

    Examples:

        a5ctl registry path

        sqlite3 -readonly "$(a5ctl registry path)" "select id, status from run"
    """
    import sys

    from a5ctl.console import printable
    from core.registry.database import Database
    from core.workspace import open_workspace

    workspace = open_workspace(home, create=False)
    sys.stdout.write(printable(Database(workspace.registry_url(registry)).label) + "\n")


def stats(
    json_: JsonOption = False, home: HomeOption = None, registry: RegistryOption = None
) -> None:
    """Count runs and rows, and say what room the registry and the run folders take.

    Examples:

        a5ctl registry stats --json
    """
    from dataclasses import asdict

    from a5ctl.console import print_json
    from a5ctl.registry_place import existing_registry
    from core.registry.figures import registry_figures
    from core.registry.store import open_registry

    workspace, database = existing_registry(home, registry)
    open_registry(database.url, create=False)
    figures = registry_figures(database, workspace)
    if json_:
        print_json({"registry": database.label, **asdict(figures)})
    else:
        _show(database.label, figures)


def migrate(
    quiet: QuietOption = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Bring the registry's tables to this version, and say from which one.

    Every command that writes does the same when it has to. A tool of an older version refuses the
    registry from then on; a5ctl registry backup keeps a copy that it takes.

    Examples:

        a5ctl registry migrate
    """
    from a5ctl.console import out, plain, print_json
    from a5ctl.progress import Stop, progress
    from core.errors import UserError
    from core.registry.database import Database
    from core.registry.migrate import schema_version
    from core.registry.migrations import HEAD
    from core.registry.store import open_registry
    from core.workspace import open_workspace

    workspace = open_workspace(home, create=False)
    database = Database(workspace.registry_url(registry))
    before = schema_version(database)
    if before is None and database.path is not None and not database.path.is_file():
        raise UserError(
            f"there is no registry {database.label}; name another place with --home or --registry"
        )
    with progress("upgrading the registry", stop=Stop.UNCHANGED, quiet=quiet, as_json=json_):
        open_registry(database.url, create=False)
    if json_:
        print_json({"registry": database.label, "from": before, "to": HEAD})
    elif before == HEAD:
        out().print(plain(f"registry {database.label} has version {HEAD} already"), soft_wrap=True)
    else:
        old = "no tables" if before is None else f"version {before}"
        out().print(plain(f"registry {database.label} went from {old} to {HEAD}"), soft_wrap=True)


def _show(label: str, figures: "RegistryFigures") -> None:
    from rich.table import Table

    from a5ctl.console import out, plain
    from a5ctl.format import size

    console = out()
    console.print(plain(f"{label} (version {figures.version})", "bold"))
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    runs = ", ".join(f"{count} {status}" for status, count in sorted(figures.runs.items()))
    table.add_row("runs", plain(runs or "none"))
    for name, count in figures.rows.items():
        if count and name != "run":
            table.add_row(plain(name), f"{count:,}")
    free = f" ({size(figures.free_bytes)} of it free)" if figures.free_bytes else ""
    table.add_row("database", plain(f"{size(figures.file_bytes)}{free}"))
    if figures.log_bytes is not None:
        table.add_row("its log", size(figures.log_bytes))
    table.add_row("journals", size(figures.journal_bytes))
    table.add_row("checkpoints", size(figures.checkpoint_bytes))
    table.add_row("other files of runs", size(figures.other_bytes))
    console.print(table)
