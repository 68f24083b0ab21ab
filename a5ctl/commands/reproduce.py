"""`a5ctl reproduce`: make a run again from its record, and compare the two."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, QuietOption, RegistryOption

if TYPE_CHECKING:
    from core.registry.records import RunRecord
    from core.registry.store import Registry
    from core.workspace import Workspace


def reproduce(
    run: Annotated[str, typer.Argument(help="Id, unique prefix, or name of the run.")],
    check: Annotated[
        bool, typer.Option("--check", help="Only say what differs from when it was made.")
    ] = False,
    with_: Annotated[
        str | None,
        typer.Option("--with", metavar="RUN2", help="Make nothing; compare with this run."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Make only the first N updates again.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Even though the data or the model has changed.")
    ] = False,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="RUN[:STEP]", help="Start from this run's checkpoint, if the recorded is gone."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new run.")] = None,
    quiet: QuietOption = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Make a run again from its stored configuration, data and weights, and compare the two.

    Says first what is not as it was: code, packages, machine, environment, data, model.

    Exit code 0: metrics, responses, rollouts and weights are the same; 1: something differs.

    Examples:

        a5ctl reproduce sft-256-k3f9 --check

        a5ctl reproduce sft-256-k3f9 --steps 50

        a5ctl reproduce sft-256-k3f9 --with sft-256-m2x7
    """
    from a5ctl.options import open_workspace_and_registry

    _refuse_together(check, with_, steps, anyway, init, name)
    workspace, store = open_workspace_and_registry(home, registry)
    record = store.find_run(run)
    if with_ is not None:
        _compare(record, store.find_run(with_), workspace, store, as_json=json_)
        return
    from a5ctl.remaking import Wishes, remake

    start = None if init is None else _initial(init, home, registry)
    wishes = Wishes(check, steps, anyway, start, name, quiet, json_)
    raise typer.Exit(remake(record, workspace, store, wishes))


def _refuse_together(
    check: bool,
    with_: str | None,
    steps: int | None,
    anyway: bool,
    init: str | None,
    name: str | None,
) -> None:
    from core.errors import UserError

    making = {"--steps": steps is not None, "--anyway": anyway, "--name": name is not None}
    given = [option for option, is_given in making.items() if is_given]
    if with_ is not None:
        given += ["--check"] * check + ["--init"] * (init is not None)
        if given:
            raise UserError(f"--with compares two runs and makes none; leave out {given[0]}")
    elif check and given:
        raise UserError(f"--check makes no run; leave out {given[0]}")


def _initial(reference: str, home: Path | None, registry: str | None) -> "tuple[str, int | None]":
    from a5ctl.cells import run_source

    settings = run_source(reference, None, home, registry).settings
    if settings["model.run_choice"] is not None:
        from core.errors import UserError

        raise UserError(f"--init {reference}: name the step, RUN:STEP; the best may be another one")
    return settings["model.run"], settings["model.run_step"]


def _compare(
    recorded: "RunRecord",
    again: "RunRecord",
    workspace: "Workspace",
    store: "Registry",
    *,
    as_json: bool,
) -> None:
    from a5ctl.console import out, print_json
    from a5ctl.tables.reproduction import comparison_json
    from a5ctl.tables.reproduction_view import print_comparison
    from core.errors import UserError
    from core.reproduction.compare import compare_runs, refuse_alive

    for run in (recorded, again):
        refuse_alive(run, workspace)
    if recorded.uuid == again.uuid:
        raise UserError(f"{recorded.id} is one run; give two")
    found = compare_runs(store, workspace, recorded, again)
    if as_json:
        print_json(comparison_json(found))
    else:
        print_comparison(found, out())
    raise typer.Exit(0 if found.same else 1)
