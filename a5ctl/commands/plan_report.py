"""`a5ctl plan report`: what a plan found out."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

_FORMATS = ("text", "md", "json")


def report(
    file: Annotated[Path, typer.Argument(help="The plan (TOML, see docs/plans.md).")],
    grader: Annotated[
        str | None,
        typer.Option(
            help="Accuracy under r1_zero, strict, lenient, diagnostic, question_only or "
            "multiple_choice; the criteria name their own."
        ),
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="text, md or json.")] = "text",
    force: Annotated[
        bool, typer.Option("--force", help="Compare even where the protocols differ.")
    ] = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """The accuracy of every setting, the effect of every axis, and the verdict on every criterion.

    Examples:

        a5ctl plan report plan.toml

        a5ctl plan report plan.toml --grader strict --format md
    """
    from a5ctl.console import out, print_json, printable
    from a5ctl.options import open_workspace_and_registry, parse_grader
    from a5ctl.tables.criteria import check_plan
    from a5ctl.tables.plan_cells import state_counts
    from a5ctl.tables.plan_effects import plan_figures
    from a5ctl.tables.plan_report import Reported, report_json, report_markdown, report_parts
    from core.errors import UserError
    from core.plans.criteria import criteria_of
    from core.plans.load import load_plan
    from core.plans.runs import cell_runs
    from core.plans.search import known_cells

    if format_ not in _FORMATS:
        raise UserError(f"format {format_!r} is unknown; choose {', '.join(_FORMATS)}")
    plan = load_plan(file)
    criteria, chosen = criteria_of(plan), parse_grader(grader)
    workspace, store = open_workspace_and_registry(home, registry)
    if criteria is not None and not store.database.exists():  # the plan is noted in it
        workspace, store = open_workspace_and_registry(home, registry, create=True)
    plan = known_cells(plan, store)
    found = cell_runs(store, plan)
    verdicts = None
    if criteria is not None:
        versions = store.note_plan(plan.name, plan.hash, plan.text, workspace)
        verdicts = check_plan(store, criteria, versions, force=force)
    figures = plan_figures(store, plan, chosen, force=force)
    reported = Reported(plan, state_counts(found.values()), figures, verdicts)
    if json_ or format_ == "json":
        print_json(report_json(reported))
    elif format_ == "md":
        sys.stdout.write(printable(report_markdown(reported)))
    else:
        console = out()
        for part in report_parts(reported, console):
            console.print(part, soft_wrap=True, crop=False)
