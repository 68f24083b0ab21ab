"""`a5ctl show`: everything the registry knows about one run."""

from typing import Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption


def show(
    run: Annotated[str, typer.Argument(help="Id, unique prefix, or name of the run.")],
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Show one run: evaluations, metrics, configuration, provenance, events, artifacts.

    Example:

        a5ctl show sft-256-k3f9
    """
    from a5ctl.console import out, print_json
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.tables.run_report import report_json, run_report
    from a5ctl.tables.run_view import render_run

    workspace, store = open_workspace_and_registry(home, registry)
    report = run_report(store, workspace, store.find_run(run))
    if json_:
        print_json(report_json(report))
        return
    render_run(report, out())
