"""`a5ctl sql`: one SQL statement that reads the registry."""

from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

if TYPE_CHECKING:
    from core.registry.query.sql import SqlRows


def sql(
    statement: Annotated[str, typer.Argument(help="One SELECT; docs/schema.md has the tables.")],
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="At most so many rows; a table shows 200, 0 is all of them."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Seconds that the database may work on it.")
    ] = 30.0,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Ask the registry in SQL; the connection can only read.

    decoded(text) gives the text of a response. --json and --csv print rows as they come.

    Examples:

        a5ctl sql "select kind, count(*) as runs from run group by kind"

        a5ctl sql "select decoded(text) as text from response limit 3" --json
    """
    from a5ctl.tables.sql import write_csv, write_json
    from core.errors import UserError
    from core.registry.database import Database
    from core.registry.query.sql import select_sql
    from core.workspace import open_workspace

    if csv and json_:
        raise UserError("--csv and --json are two forms of the same rows; give one of them")
    workspace = open_workspace(home, create=False)
    database = Database(workspace.registry_url(registry))
    with select_sql(database, statement, timeout) as found:
        if json_:
            write_json(found, limit)
        elif csv:
            write_csv(found, limit)
        else:
            _show(found, limit)


def _show(found: "SqlRows", limit: int | None) -> None:
    from a5ctl.console import out, plain
    from a5ctl.tables.sql import DEFAULT_ROWS, sql_notes, sql_table

    console = out()
    table, rest = sql_table(found, DEFAULT_ROWS if limit is None else limit)
    if table is None:
        console.print(plain("no rows", "dim"))
        return
    console.print(table.fitted(console), crop=False)
    for note in sql_notes(table, console, more=rest):
        console.print(plain(note, "dim"))
