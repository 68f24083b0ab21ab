"""`a5ctl show`: everything the registry knows about one run."""

from typing import Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption


def show(
    run: Annotated[str, typer.Argument(help="Id, unique prefix, or name of the run.")],
    diff: Annotated[
        str | None,
        typer.Option(metavar="RUN2", help="Only what differs from this run."),
    ] = None,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Show one run: evaluations, metrics, configuration, provenance, events, artifacts.

    With --diff, what two runs do not have in common: configuration, data and model, code with
    uncommitted changes, environment, protocol of the last evaluation.

    Examples:

        a5ctl show sft-256-k3f9

        a5ctl show sft-256-k3f9 --diff sft-256-m2x7
    """
    from a5ctl.console import out, print_json
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.tables.run_diff import diff_json, diff_runs
    from a5ctl.tables.run_diff_view import print_run_diff
    from a5ctl.tables.run_report import report_json, run_report
    from a5ctl.tables.run_view import render_run

    workspace, store = open_workspace_and_registry(home, registry)
    if diff is not None:
        found = diff_runs(store, store.find_run(run), store.find_run(diff))
        if json_:
            print_json(diff_json(found))
        else:
            print_run_diff(found, out())
        return
    report = run_report(store, workspace, store.find_run(run))
    if json_:
        print_json(report_json(report))
        return
    render_run(report, out())
