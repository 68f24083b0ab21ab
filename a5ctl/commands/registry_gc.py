"""`a5ctl registry gc`: what could be freed, and with --yes its removal."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from a5ctl.options import HomeOption, JsonOption, QuietOption, RegistryOption

if TYPE_CHECKING:
    from rich.console import Console

    from core.registry.garbage import Waste

_ON_A_SERVER = "a5ctl delete removes runs, and the server frees room by itself (VACUUM)"
_WHY = {
    "checkpoint": "neither last nor best, and no run started from it",
    "rollouts": "rollouts of a finished run, which only a resume would need",
    "partial": "half-written, left by a kill",
    "reserve": "room held back by a run that was killed",
    "gone": "gone already; its loss will be noted",
}


def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove it.")] = False,
    quiet: QuietOption = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Show what could be freed; remove it with --yes.

    That is: of finished runs the checkpoints that are neither last nor best and that no run started
    from, and their rollouts; what kills left half-written; rows that belong to nothing. Runs that
    may be alive are left alone.

    Examples:

        a5ctl registry gc

        a5ctl registry gc --yes
    """
    from a5ctl.console import out, print_json
    from a5ctl.progress import Stop, progress
    from a5ctl.registry_place import registry_place
    from core.registry.collect import collect
    from core.registry.garbage import find_garbage
    from core.registry.store import open_registry

    workspace, database, file = registry_place(home, registry, _ON_A_SERVER)
    store = open_registry(database.url, create=False)
    told = progress("freeing room", "places", stop=Stop.KEEPS, quiet=quiet, as_json=json_)
    with told as report:
        found = find_garbage(store.database, file, workspace)
        done = collect(store, file, workspace, found, report) if yes else None
    store.close()
    if json_:
        print_json(_as_json(database.label, done or found, removed=done is not None))
    else:
        _show(done or found, out(), removed=done is not None)


def _show(waste: "Waste", console: "Console", *, removed: bool) -> None:
    from rich.table import Table

    from a5ctl.console import plain
    from a5ctl.format import counted, size

    if waste.files:
        table = Table.grid(padding=(0, 2))
        for _ in range(3):
            table.add_column(overflow="fold")
        for item in waste.files:
            place = f"{item.run.id}/{item.path.name}"
            table.add_row(size(item.bytes), plain(place), plain(_WHY[item.kind.value], "dim"))
        console.print(table)
    for name, count in waste.rows.items():
        console.print(plain(f"{counted(count, 'row')} of {name}: nothing refers to them"))
    if waste.alive:
        text = f"left alone, because it may be alive: {counted(waste.alive, 'run')}"
        console.print(plain(text, "dim"))
    console.print(plain(_verdict(waste, removed=removed), "bold"), soft_wrap=True)


def _verdict(waste: "Waste", *, removed: bool) -> str:
    from a5ctl.format import counted, size

    places = counted(len(waste.files), "place")
    if removed:
        inside = f", and {size(waste.free_bytes)} in the database" if waste.free_bytes else ""
        return f"freed {size(waste.bytes)} in {places}{inside}"
    if waste.empty:
        return "nothing to free"
    return f"{size(waste.bytes)} in {places} could be freed with: a5ctl registry gc --yes"


def _as_json(label: str, waste: "Waste", *, removed: bool) -> dict[str, Any]:
    return {
        "registry": label,
        "removed": removed,
        "bytes": waste.bytes,
        "free_bytes": waste.free_bytes,
        "alive": waste.alive,
        "rows": dict(waste.rows),
        "files": [
            {
                "run": item.run.id,
                "kind": item.kind.value,
                "path": str(item.path),
                "bytes": item.bytes,
            }
            for item in waste.files
        ],
    }
