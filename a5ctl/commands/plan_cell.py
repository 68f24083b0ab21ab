"""`a5ctl plan cell`: carry out exactly one cell of a plan, whoever asks and however often."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, QuietOption, RegistryOption

if TYPE_CHECKING:
    from a5ctl.plans.cell import Attempt, CellEnd
    from core.plans.plan import Plan


def cell(
    file: Annotated[Path, typer.Argument(help="The plan (TOML, see docs/plans.md).")],
    cell: Annotated[str, typer.Argument(help="Id of the cell, or its unique beginning.")],
    until: Annotated[
        int | None,
        typer.Option(min=1, help="End behind this update; the same cell goes on another time."),
    ] = None,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Take a cell whose run on another machine has been silent for over a minute.",
        ),
    ] = False,
    on_node: Annotated[
        bool,
        typer.Option(
            "--on-node",
            help="Record into a registry of this machine's own, made from the journals in the "
            "workspace; whoever follows the plan brings the run in from its journal.",
        ),
    ] = False,
    quiet: QuietOption = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Carry out one cell here: begin it, go on with it, or say that it is done.

    Exit codes: 0 done, 1 failed, 2 bad input, 69 the cell it starts from is not finished, 75
    somebody else has it, 130 stopped by Ctrl-C, 143 by SIGTERM. After 69, 75, 130 and 143 the same
    command goes on later.

    Examples:

        a5ctl plan cell plan.toml 1f3a9c2e

        a5ctl plan cell plan.toml 1f3a9c2e --quiet --json

        a5ctl plan cell plan.toml 1f3a9c2e --on-node
    """
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.plans.cell import Attempt, carry_out_cell
    from a5ctl.plans.tpe import search_cells
    from core.plans.load import load_plan

    plan = load_plan(file)
    if plan.form.search is None:
        plan.find(cell)  # before anything is made
    attempt = Attempt(until, take_over, quiet, json_)
    if on_node:
        _tell(_on_node(plan, cell, home, attempt), json_=json_)
        return
    workspace, store = open_workspace_and_registry(home, registry, create=True)
    if plan.form.search is not None:
        plan = search_cells(plan, store)
    _tell(carry_out_cell(plan, plan.find(cell), workspace, store, attempt), json_=json_)


def _on_node(plan: "Plan", name: str, home: Path | None, attempt: "Attempt") -> "CellEnd":
    from a5ctl.cluster.harvest import registry_of_node
    from a5ctl.plans.cell import carry_out_cell
    from core.errors import UserError
    from core.workspace import open_workspace

    if plan.form.search is not None:
        raise UserError(
            f"plan {plan.path} has a [search], whose cells follow from the registry; leave out "
            "--on-node"
        )
    found = plan.find(name)
    needed = [found, *([] if found.start is None else [plan.by_id[found.start]])]
    workspace = open_workspace(home)
    with registry_of_node(workspace, needed) as store:
        return carry_out_cell(plan, found, workspace, store, attempt)


def _tell(end: "CellEnd", *, json_: bool) -> None:
    from a5ctl.console import err, out, plain, print_json

    if json_:
        said = {"cell": end.cell.id, "run": end.run, "exit_code": end.code, "message": end.message}
        print_json(said)
    elif end.code == 0:
        out().print(plain(end.message), soft_wrap=True)
    else:
        err().print(plain(end.message, style="yellow"), soft_wrap=True)
    if end.code:
        raise typer.Exit(end.code)
