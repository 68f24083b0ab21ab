"""`a5ctl ls`: the runs of this workspace, newest first, or those that a filter finds."""

from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

if TYPE_CHECKING:
    from core.registry.query.request import Selection
    from core.registry.query.selection import SelectedRuns
    from core.registry.records import RunRecord
    from core.registry.store import Registry

_STATUSES = ("queued", "running", "finished", "failed", "interrupted", "stale", "lost")


def ls(
    kind: Annotated[
        str | None, typer.Option(help="Only runs of this kind: sft, ei, grpo, dpo or eval.")
    ] = None,
    status: Annotated[
        str | None, typer.Option(help=f"Only runs with this status: {', '.join(_STATUSES)}.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="Only runs of this group.")] = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="FILTER", help="Only runs that a filter finds (docs/queries.md)."),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="FIELDS",
            help="Sort by fields with commas between; - in front: largest first. What a run "
            "does not have comes last.",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="FIELDS", help="Show these fields, with commas between."),
    ] = None,
    archived: Annotated[
        bool, typer.Option("--archived", help="With the runs in the archive.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0 for all of them.")] = 50,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """List runs, newest first, with the accuracy of their last evaluation.

    Examples:

        a5ctl ls

        a5ctl ls --group matrix-x2m1 --status finished

        a5ctl ls --where "kind = sft and size >= 512 and accuracy > 0.3" --sort -accuracy

        a5ctl ls --where "tags has good" --columns id,train.lr,metric.loss.min,accuracy
    """
    from a5ctl.collector import collector_paused
    from a5ctl.format import counted
    from a5ctl.options import meant_instead, open_workspace_and_registry
    from core.errors import UserError
    from core.nearest import did_you_mean
    from core.registry.query.request import Selection

    if status is not None and status not in _STATUSES:
        near = did_you_mean(status, _STATUSES) or ":"
        raise UserError(f"--status {status!r}{near} choose one of {', '.join(_STATUSES)}")
    _, store = open_workspace_and_registry(home, registry)
    selection = Selection(
        _with_status(where, status), sort, columns, limit or None, archived, kind, group
    )
    near = "" if where else meant_instead(store, kind=kind, group=group)
    nothing = _nothing(store.label, near, filtered=any((kind, status, group, where)))
    with collector_paused():
        if columns is not None:
            _show_fields(_selected(store, selection), nothing, json_=json_)
            return
        if where is None and sort is None:
            runs, total = _newest(store, selection, status)
        else:
            found = _selected(store, selection)
            runs, total = store.runs_by_uuid(found.uuids), found.total
        thing = "older run" if sort is None else "more run"
        rest = f"{counted(total - len(runs), thing)} not shown"
        _show_runs(store, runs, rest if total > len(runs) else "", nothing, json_=json_)


def _with_status(where: str | None, status: str | None) -> str | None:
    if status is None or where is None:
        return where if status is None else f"status = {status}"
    return f"({where}) and status = {status}"


def _selected(store: "Registry", selection: "Selection") -> "SelectedRuns":
    """What is selected; runs that cannot be asked are named on stderr."""
    from a5ctl.console import err, plain

    found = store.select_runs(selection)
    if found.damaged:
        text = (
            f"left out, because their stored settings cannot be read: {', '.join(found.damaged)}; "
            "bring them back from their journals with: a5ctl registry repair"
        )
        err().print(plain(text, "yellow"), soft_wrap=True)
    return found


def _newest(
    store: "Registry", selection: "Selection", status: str | None
) -> "tuple[list[RunRecord], int]":
    """The plain list, which needs no filter and is faster without."""
    kind, group, archived = selection.kind, selection.group, selection.archived
    if status is not None:
        found = store.runs(kind=kind, group=group, status=status, archived=archived)
        return found[: selection.limit], len(found)
    runs = store.runs(kind=kind, group=group, limit=selection.limit, archived=archived)
    if selection.limit is None or len(runs) < selection.limit:
        return runs, len(runs)
    return runs, store.count_runs(kind=kind, group=group, archived=archived)


def _show_runs(
    store: "Registry", runs: "list[RunRecord]", rest: str, nothing: str, *, json_: bool
) -> None:
    from a5ctl.console import out, plain, print_json
    from a5ctl.tables.runs import run_json, run_lines, runs_table
    from a5ctl.tables.selection import selection_note

    lines = run_lines(store, runs)
    if json_:
        print_json([run_json(line) for line in lines])
        return
    console = out()
    if not lines:
        console.print(plain(nothing))
        return
    console.print(runs_table(lines, console), crop=False)
    if note := selection_note(runs):
        console.print(plain(note, "yellow"))
    if rest:
        console.print(plain(f"{rest}; a5ctl ls --limit 0 shows all", "dim"))


def _show_fields(found: "SelectedRuns", nothing: str, *, json_: bool) -> None:
    from a5ctl.console import out, plain, print_json
    from a5ctl.tables.selected import field_notes, fields_json, fields_table

    if json_:
        print_json(fields_json(found))
        return
    console = out()
    if not found.uuids:
        console.print(plain(nothing))
        return
    console.print(fields_table(found, console), crop=False)
    for note in field_notes(found, console):
        console.print(plain(note, "dim"))


def _nothing(label: str, near: str, *, filtered: bool) -> str:
    if near:
        return f"No run fits these filters{near}"
    if filtered:
        return "No run fits these filters; a5ctl ls without them shows every run."
    return f"No runs in {label} yet. Start one with: a5ctl run sft --size 256"
