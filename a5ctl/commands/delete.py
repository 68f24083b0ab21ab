"""`a5ctl delete`: remove runs for good, after saying what goes."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

if TYPE_CHECKING:
    from core.registry.removal import Removal


def delete(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN", help="Ids, unique prefixes, or names of runs.")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete; without it, only say what would go.")
    ] = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Say what goes with runs: rows, folder, bytes, the runs that lose their parent; then delete.

    Runs that are alive are refused. a5ctl archive only puts runs out of sight.

    Examples:

        a5ctl delete sft-256-k3f9

        a5ctl delete sft-256-k3f9 sft-256-m2x7 --yes
    """
    from a5ctl.console import out, plain, print_json
    from a5ctl.format import counted
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.progress import Stop, progress, tracked
    from core.registry.removal import plan_removal, remove_run

    workspace, store = open_workspace_and_registry(home, registry)
    chosen = list({run.uuid: run for run in map(store.find_run, runs)}.values())
    plans = [plan_removal(store, workspace, run) for run in chosen]
    going = {run.id for run in chosen}
    if not json_:
        for plan in plans:
            for number, line in enumerate(_lines(plan, going)):
                out().print(plain(line, "" if number else "bold"), soft_wrap=True)
    if yes:
        with progress("deleting", "runs", stop=Stop.KEEPS, as_json=json_) as report:
            for run in tracked(chosen, len(chosen), report):
                remove_run(store, workspace, run)
    if json_:
        print_json({"deleted": yes, "runs": [_json(plan, going) for plan in plans]})
        return
    what = counted(len(chosen), "run")
    last = f"deleted {what}" if yes else f"nothing was deleted; --yes deletes {what}"
    out().print(plain(last, "bold red" if yes else "dim"))


def _lines(plan: "Removal", going: set[str]) -> list[str]:
    from a5ctl.format import count, size

    rows = [
        f"{count(number)} {_named(table, number)}"
        for table, number in plan.deletion.rows.items()
        if number
    ]
    lines = [f"run {plan.run.id}", f"  rows: {', '.join(rows) or 'only its own'}"]
    if plan.folder is None:
        lines.append("  folder: none here")
    else:
        lines.append(f"  folder: {plan.folder}, {count(plan.files)} files, {size(plan.bytes)}")
    if orphans := _orphans(plan, going):
        lines.append(f"  loses its parent: {', '.join(orphans)}")
    return lines


def _named(table: str, number: int) -> str:
    name = table.replace("_", " ")
    return name if number == 1 else f"{name}es" if name.endswith("ch") else f"{name}s"


def _orphans(plan: "Removal", going: set[str]) -> list[str]:
    return [child for child in plan.deletion.children if child not in going]


def _json(plan: "Removal", going: set[str]) -> dict[str, Any]:
    return {
        "id": plan.run.id,
        "uuid": plan.run.uuid,
        "rows": dict(plan.deletion.rows),
        "folder": None if plan.folder is None else str(plan.folder),
        "files": plan.files,
        "bytes": plan.bytes,
        "children": _orphans(plan, going),
    }
