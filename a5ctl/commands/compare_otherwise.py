"""The other ways of `a5ctl compare`: along a line of runs, and by a plan's criteria."""

import os
from pathlib import Path


def follow_line(
    run: str,
    grader: str | None,
    home: Path | None,
    registry: str | None,
    *,
    force: bool,
    json_: bool,
) -> None:
    """Print what each stage of a run's line added."""
    from a5ctl.console import out, plain, print_json
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.tables.stages import compare_line
    from a5ctl.tables.stages_view import stage_notes, stages_json, stages_table

    _, store = open_workspace_and_registry(home, registry)
    line = compare_line(store, store.find_run(run), grader, force=force)
    if json_:
        print_json(stages_json(line))
        return
    console = out()
    for warning in line.warnings:
        console.print(plain(f"! {warning}", style="yellow"))
    console.print(stages_table(line, console), crop=False)
    for note in stage_notes(line):
        console.print(plain(note, style="dim"))


def judge_by_plan(
    path: Path, home: Path | None, registry: str | None, *, force: bool, json_: bool
) -> None:
    """Print what a plan's criteria say of its runs; note the plan where it is new."""
    from a5ctl.console import out, print_json
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.tables.criteria import check_plan
    from a5ctl.tables.criteria_view import plan_json, plan_lines
    from a5ctl.tables.hanging import hanging
    from core.criteria.plan import load_plan

    loaded = load_plan(path)
    workspace, store = open_workspace_and_registry(
        home, registry, create=not _exists(home, registry)
    )
    versions = store.note_plan(loaded.plan.name, loaded.hash, loaded.text, workspace)
    report = check_plan(store, loaded, versions, force=force)
    if json_:
        print_json(plan_json(report))
        return
    console = out()
    for line, style in plan_lines(report):
        console.print(hanging(line, style, console), soft_wrap=True)


def _exists(home: Path | None, registry: str | None) -> bool:
    """A plan that is known is judged without writing; so nothing is made where a registry is."""
    from core.registry.database import Database
    from core.workspace import open_workspace

    given = home or os.environ.get("A5CTL_HOME")
    if given and not Path(given).expanduser().exists():
        return False
    return Database(open_workspace(home, create=False).registry_url(registry)).exists()
