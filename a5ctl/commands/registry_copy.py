"""`a5ctl registry copy`: the whole registry into another database, compared row by row."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, QuietOption

if TYPE_CHECKING:
    from core.registry.copying import Copied
    from core.registry.copying.copy import Progress


def copy(
    to: Annotated[
        str,
        typer.Option("--to", help="Where to: a URL, or the path of an SQLite file."),
    ],
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            envvar="A5CTL_REGISTRY",
            help="What to copy, written in the same way; the workspace's registry when not given.",
        ),
    ] = None,
    quiet: QuietOption = False,
    json_: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Copy the registry into an empty one: from a file to a server, back, or to another file.

    Every row is read back and compared before the copy counts; whatever stops it leaves the target
    empty. Runs that are being recorded are copied as they are now and go on recording into the old
    registry; their journals bring the rest into the new one. Exits with 1 when something differs.

    Examples:

        a5ctl registry copy --to postgresql://me@server/experiments
    """
    from a5ctl.console import print_json
    from core.registry.copying import copy_registry
    from core.registry.database import Database
    from core.workspace import open_workspace

    workspace = open_workspace(home, create=False)
    source = Database(workspace.registry_url(from_))
    target = Database(to if "://" in to else workspace.registry_url(to))
    try:
        with _progress(watched=not quiet and not json_) as progress:
            made = copy_registry(source, target, progress)
    finally:
        source.close()
        target.close()
    if json_:
        print_json(_as_json(made))
    else:
        _show(made)
    if made.different:
        raise typer.Exit(1)


@contextmanager
def _progress(*, watched: bool) -> "Iterator[Progress]":
    """A bar on a terminal, and nothing anywhere else."""
    from a5ctl.console import err, is_interactive
    from a5ctl.progress import Stop

    if not watched or not is_interactive():
        yield lambda *_: None
        return
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} rows"),
        TimeRemainingColumn(),
        TextColumn(f"[dim]{Stop.NOTHING}[/dim]"),
    )
    with Bars(*columns, console=err(), transient=True) as bars:
        tasks = {}

        def show(phase: object, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(getattr(phase, "value", ""), total=total)
            bars.update(tasks[phase], completed=done)

        yield show


def _show(made: "Copied") -> None:
    from a5ctl.console import out, plain
    from a5ctl.format import counted

    console = out()
    rows = counted(sum(made.rows.values()), "row")
    if made.different:
        parts = ", ".join(f"{counted(n, 'row')} of {name}" for name, n in made.different.items())
        text = f"{made.target} was left empty: {parts} came back other than in {made.source}"
        console.print(plain(text, "bold red"), soft_wrap=True)
        return
    runs = counted(made.rows["run"], "run")
    text = f"{made.target} holds {runs} of {made.source}: {rows}, each read back and the same"
    console.print(plain(text, "bold"), soft_wrap=True)
    if made.alive:
        text = (
            f"{', '.join(made.alive)} may still be recorded, into {made.source}; once over, "
            "a5ctl import runs/ID brings the rest from the journal"
        )
        console.print(plain(text, "yellow"), soft_wrap=True)


def _as_json(made: "Copied") -> dict[str, object]:
    return {
        "from": made.source,
        "to": made.target,
        "version": made.version,
        "same": not made.different,
        "rows": dict(made.rows),
        "different": dict(made.different),
        "alive": list(made.alive),
    }
