"""`a5ctl plan check`: what a plan will make, what that takes, and what is there already."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption


def check(
    file: Annotated[Path, typer.Argument(help="The plan (TOML, see docs/plans.md).")],
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Cells at a time, for the total time.")
    ] = 1,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Check a plan and list its cells; nothing is started.

    Every cell is prepared as its run would be, so that wrong settings, data and sizes are found
    here. Time is foretold by finished runs of this machine with the same kind, model and batch;
    memory by what they took, else about what the architecture says (~).

    Examples:

        a5ctl plan check plan.toml

        a5ctl plan check plan.toml --jobs 2 --json
    """
    from a5ctl.console import out, plain, print_json
    from a5ctl.format import counted, duration
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.plans.check import check_cells, seconds_to_go
    from a5ctl.plans.driver import check_goals
    from a5ctl.plans.tpe import search_cells
    from a5ctl.process import prepare_process
    from a5ctl.tables.plan_cells import state_counts
    from a5ctl.tables.plan_check import check_json, check_table
    from core.plans.load import load_plan
    from core.plans.runs import CellState

    plan = load_plan(file)
    check_goals(plan)
    workspace, store = open_workspace_and_registry(home, registry)
    if plan.form.search is not None:
        plan = search_cells(plan, store)
    prepare_process()
    checked = check_cells(plan, workspace, store)
    total = seconds_to_go(checked, jobs)
    if json_:
        print_json(
            {
                "plan": plan.name,
                "hash": plan.hash,
                "seconds_to_go": total,
                "cells": [check_json(each) for each in checked],
            }
        )
        return
    console = out()
    console.print(plain(f"plan {plan.name} ({plan.hash})", "bold"))
    if plan.form.question:
        console.print(plain(plan.form.question, "dim"), soft_wrap=True)
    console.print(check_table(checked, console), crop=False)
    counts = state_counts(each.found for each in checked)
    missing = [each for each in checked if not each.found.state.done]
    takes = "; time unknown: no finished run here is like all of them" if missing else ""
    if missing and total is not None:
        at_once = "one at a time" if jobs == 1 else f"{jobs} at a time"
        takes = f"; about {duration(total)} to go, {at_once}"
    console.print(plain(f"{counts}{takes}", "bold"))
    if any(each.found.state is not CellState.FINISHED for each in checked):
        searched = " --search tpe" if plan.form.search is not None else ""
        text = f"next: a5ctl plan run {shlex.quote(str(file))}{searched}"
        console.print(plain(text, "dim"), soft_wrap=True)
    if plan.form.search is not None:
        said = f"{plan.form.search.trials} trials in all; the later ones are chosen by results"
        console.print(plain(said, "dim"))
    if twins := sum(bool(each.twins) for each in missing):
        said = f"made outside of this plan: {counted(twins, 'cell')}; the plan makes them again"
        console.print(plain(said, "dim"))
