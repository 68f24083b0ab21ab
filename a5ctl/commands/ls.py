"""`a5ctl ls`: the runs of this workspace, newest first."""

from typing import Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

_STATUSES = ("queued", "running", "finished", "failed", "interrupted", "stale", "lost")


def ls(
    kind: Annotated[str | None, typer.Option(help="Only runs of this kind: sft, eval.")] = None,
    status: Annotated[
        str | None, typer.Option(help=f"Only runs with this status: {', '.join(_STATUSES)}.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="Only runs of this group.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0 for all of them.")] = 50,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """List runs, newest first, with the accuracy of their last evaluation.

    Examples:

        a5ctl ls

        a5ctl ls --group matrix-x2m1 --status finished
    """
    from a5ctl.console import out, plain, print_json
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.tables.runs import run_json, run_lines, runs_table
    from a5ctl.tables.selection import selection_note
    from core.errors import UserError

    if status is not None and status not in _STATUSES:
        raise UserError(f"--status {status!r}: choose one of {', '.join(_STATUSES)}")
    _, store = open_workspace_and_registry(home, registry)
    found = store.runs(kind=kind, group=group, status=status)
    runs = found[:limit] if limit else found
    lines = run_lines(store, runs)
    if json_:
        print_json([run_json(line) for line in lines])
        return
    console = out()
    if not lines:
        console.print(plain(_nothing(store.label, filtered=any((kind, status, group)))))
        return
    console.print(runs_table(lines, console), crop=False)
    if note := selection_note(runs):
        console.print(plain(note, "yellow"))
    if len(found) > len(runs):
        rest = f"{len(found) - len(runs)} older runs are not shown; a5ctl ls --limit 0 shows all"
        console.print(plain(rest, "dim"))


def _nothing(label: str, *, filtered: bool) -> str:
    if filtered:
        return "No run fits these filters; a5ctl ls without them shows every run."
    return f"No runs in {label} yet. Start one with: a5ctl run sft --size 256"
