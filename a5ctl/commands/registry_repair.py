"""`a5ctl registry backup|repair`: a copy to keep, and a database made anew from the run folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from a5ctl.options import HomeOption, JsonOption, QuietOption, RegistryOption

if TYPE_CHECKING:
    from rich.console import Console

    from core.registry.rebuild import Rebuilt

_BACKUP_ON_A_SERVER = "use a5ctl registry copy --to FILE, or the server's pg_dump"
_REPAIR_ON_A_SERVER = (
    "repair a file with --registry FILE, and copy it into an empty database with a5ctl registry "
    "copy --from FILE --to URL"
)


def backup(
    file: Annotated[Path, typer.Argument(help="Where the copy goes.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    quiet: QuietOption = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Copy the registry as it is at one moment, while runs go on recording.

    The copy holds everything that the database holds; run folders are copied by other means.

    Examples:

        a5ctl registry backup /backups/registry-monday.db
    """
    from a5ctl.console import out, plain, print_json
    from a5ctl.format import counted, size
    from a5ctl.progress import Stop, progress
    from a5ctl.registry_place import registry_place
    from core.registry.backup import back_up

    _, database, source = registry_place(home, registry, _BACKUP_ON_A_SERVER)
    with progress("copying the registry", stop=Stop.NOTHING, quiet=quiet, as_json=json_):
        made = back_up(database, source, file.expanduser().absolute(), force=force)
    if json_:
        print_json({"file": str(made.path), "bytes": made.bytes, "runs": made.runs})
        return
    text = f"{made.path} holds {counted(made.runs, 'run')} of {database.label} ({size(made.bytes)})"
    out().print(plain(text), soft_wrap=True)


def repair(
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Even if the old file holds what no run folder can bring back."
        ),
    ] = False,
    quiet: QuietOption = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Make the database anew from the run folders alone; the old file is kept beside the new one.

    The journals bring back runs with all that was recorded, graded, probed and noted, and
    plans.jsonl the plans. What only a sound old database holds, because an older a5ctl put it
    there, is written into the journals first. Where that cannot be done (rows of a run whose folder
    is gone), the old database stays, unless --force is given.

    Runs that are alive go on, and join the new database.

    Examples:

        a5ctl registry repair
    """
    from a5ctl.console import out, print_json
    from a5ctl.progress import Stop, progress
    from a5ctl.registry_place import registry_place
    from core.registry.rebuild import rebuild

    workspace, database, file = registry_place(home, registry, _REPAIR_ON_A_SERVER, exists=False)
    told = progress("reading journals", "journals", stop=Stop.UNCHANGED, quiet=quiet, as_json=json_)
    with told as report:
        result = rebuild(database, file, workspace, report, force=force)
    if json_:
        print_json(_as_json(result))
    else:
        _show(result, out())
    if not result.replaced:
        raise typer.Exit(1)


def _show(result: "Rebuilt", console: "Console") -> None:
    from a5ctl.console import plain
    from a5ctl.format import counted

    def say(text: str, style: str = "") -> None:
        console.print(plain(text, style), soft_wrap=True)

    for folder, reason in result.skipped.items():
        say(f"folder {folder} brought no run: {reason}", "yellow")
    if result.damaged:
        lines = counted(result.damaged, "line")
        say(f"{lines} of journals could not be read and are left out", "yellow")
    if result.journaled:
        parts = ", ".join(
            counted(count, thing) for thing, count in result.journaled.items() if count
        )
        say(f"the journals now have what only the old database held: {parts}")
    if result.loses:
        say(f"only the old database holds {_only_there(result)}", "yellow")
    if not result.replaced:
        say(
            f"{result.path} was left as it is, because it is sound and holds more; repair it all "
            "the same with --force, which keeps it beside the new one",
            "bold red",
        )
        return
    if result.kept is not None and not result.compared:
        say("the old database could not be read, and was not compared", "yellow")
    runs, lines = counted(result.runs, "run"), counted(result.lines, "line")
    say(f"{result.path} holds {runs}, from {lines} of journals", "bold")
    if result.kept is not None:
        say(f"the old database is {result.kept}")


def _only_there(result: "Rebuilt") -> str:
    from a5ctl.format import counted

    parts = [f"{counted(count, 'row')} of {name}" for name, count in result.lacking.items()]
    if result.labels:
        parts.append(f"other names, groups, tags or notes of {counted(result.labels, 'run')}")
    return ", ".join(parts)


def _as_json(result: "Rebuilt") -> dict[str, Any]:
    return {
        "registry": str(result.path),
        "replaced": result.replaced,
        "kept": None if result.kept is None else str(result.kept),
        "runs": result.runs,
        "lines": result.lines,
        "damaged": result.damaged,
        "skipped": dict(result.skipped),
        "compared": result.compared,
        "journaled": dict(result.journaled),
        "lacking": dict(result.lacking),
        "labels": result.labels,
    }
