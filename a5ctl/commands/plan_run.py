"""`a5ctl plan run` and `a5ctl plan status`: carry a plan out, and say where it stands."""

import shlex
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, QuietOption, RegistryOption

if TYPE_CHECKING:
    from rich.console import Console

    from a5ctl.plans.executor import Executor
    from core.plans.plan import Plan
    from core.plans.runs import CellRun
    from core.plans.search import Ask
    from core.registry.store import Registry

_ELSEWHERE = "Elsewhere"
File = Annotated[Path, typer.Argument(help="The plan (TOML, see docs/plans.md).")]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CELL|LABEL=VALUE",
        help="Only this cell, or those with this value (data.size=256, group=A); may be repeated.",
    ),
]


def run(
    file: File,
    only: Only = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            help="Cells at a time; as many as there are GPUs, or one, when not given.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Try cells that failed again, too.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop everything at the first failure.")
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Take over cells that have been silent on other machines for over a minute.",
        ),
    ] = False,
    search: Annotated[
        str | None,
        typer.Option(help="tpe: choose the cells of a plan that has a search as results come in."),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Elsewhere: ray (started here), ray://HOST:PORT, HOST:PORT or auto (a Ray that "
            "runs), slurm, pbs (docs/cluster.md).",
            rich_help_panel=_ELSEWHERE,
        ),
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(
            help="For slurm and pbs: walltime, queue, modules and so on (TOML).",
            rich_help_panel=_ELSEWHERE,
        ),
    ] = None,
    recording: Annotated[
        str | None,
        typer.Option(
            metavar="auto|shared|node",
            help="Where cells record: in the registry (shared), or on their node, from whose "
            "journals it is brought in; auto chooses.",
            rich_help_panel=_ELSEWHERE,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the scripts for slurm or pbs instead.",
            rich_help_panel=_ELSEWHERE,
        ),
    ] = False,
    quiet: QuietOption = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Carry out what is missing of a plan; the same command goes on after a stop or a kill.

    Cells that are done are not run again, interrupted ones go on from their checkpoints, and those
    that others are at work at are left to them. Exit codes: 0 all done, 1 something did not
    finish, 75 others have the rest, 130 and 143 stopped.

    Examples:

        a5ctl plan run plan.toml --jobs 2

        a5ctl plan run plan.toml --only group=A --only data.size=256

        a5ctl plan run plan.toml --resume --fail-fast

        a5ctl plan run rates.toml --search tpe

        a5ctl plan run plan.toml --on slurm --site site.toml
    """
    from a5ctl.cluster.asked import elsewhere, leave_jobs, show_scripts
    from a5ctl.console import err, out, plain
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.plans.driver import Driver, Manner, check_goals, end_code
    from a5ctl.plans.halving import carry_out_in_rungs
    from a5ctl.plans.local import local_executor
    from a5ctl.plans.searching import carry_out_search
    from a5ctl.plans.watching import PlanDisplay
    from core.errors import UserError
    from core.plans.load import load_plan
    from core.plans.runs import cell_runs

    plan = load_plan(file)
    if only and (plan.form.halving is not None or plan.form.search is not None):
        raise UserError("--only takes some cells of a plan, and [halving] and [search] need all")
    chosen = plan.select(only or [])
    check_goals(plan)
    ask = _asker(plan, search)
    place = elsewhere(on, site, recording, dry_run=dry_run)
    workspace, store = open_workspace_and_registry(home, registry, create=True)
    executor: Executor
    if place is None:
        executor = local_executor(plan, workspace, registry, jobs, take_over=take_over)
        jobs = executor.jobs
    else:
        job = place.job(plan, workspace, store, registry, jobs, take_over)
        if dry_run:
            show_scripts(job, chosen, json_=json_)
            return
    store.note_plan(plan.name, plan.hash, plan.text, workspace)
    console = err() if json_ else out()
    detached = place is not None and place.detached
    try:
        with PlanDisplay(console, store, quiet=quiet, jobs=jobs) as display:
            display.stops_cells = not detached
            if place is not None:
                executor = place.executor(job, display.note)
            driver = Driver(plan, store, executor, display, Manner(resume, fail_fast, take_over))
            try:
                if ask is not None:
                    carry_out_search(driver, ask)
                elif plan.form.halving is not None:
                    carry_out_in_rungs(driver, plan, workspace)
                else:
                    driver.carry_out(lambda: chosen)
            finally:
                executor.close()
    except KeyboardInterrupt:
        if not detached:
            raise
        leave_jobs(file, console, signal.SIGINT)
    if driver.signum is not None and detached:
        leave_jobs(file, console, driver.signum)
    found = cell_runs(store, driver.plan, chosen or driver.plan.cells)
    _conclude(store, found, driver.left, console, json_=json_)
    if code := end_code(found, driver):
        raise typer.Exit(code)
    if not (quiet or json_):
        text = f"next: a5ctl plan report {shlex.quote(str(file))}"
        console.print(plain(text, "dim"), soft_wrap=True)


def status(
    file: File,
    only: Only = None,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Where every cell of a plan stands: its run, how far it is, and its accuracy.

    Examples:

        a5ctl plan status plan.toml

        a5ctl plan status plan.toml --only group=A --json
    """
    from a5ctl.console import out
    from a5ctl.options import open_workspace_and_registry
    from core.plans.load import load_plan
    from core.plans.runs import cell_runs
    from core.plans.search import known_cells

    _, store = open_workspace_and_registry(home, registry)
    plan = known_cells(load_plan(file), store)
    chosen = plan.select(only) if only else tuple(plan.by_id.values())
    _conclude(store, cell_runs(store, plan, chosen), {}, out(), json_=json_)


def _asker(plan: "Plan", search: str | None) -> "Ask | None":
    """What chooses the cells of a search; None where the plan lists them."""
    from core.errors import UserError

    if search not in (None, "tpe"):
        raise UserError(f"search {search!r} is unknown; choose tpe")
    if plan.form.search is not None and search is None:
        raise UserError(f"plan {plan.path} has a [search]; carry it out with --search tpe")
    if search is None:
        return None
    from a5ctl.plans.tpe import asker

    return asker(plan)


def _conclude(
    registry: "Registry",
    found: "Mapping[str, CellRun]",
    left: Mapping[str, str],
    console: "Console",
    *,
    json_: bool,
) -> None:
    from a5ctl.console import plain, print_json
    from a5ctl.tables.plan_cells import cell_json, cell_lines, cells_table, state_counts

    lines = cell_lines(registry, found.values())
    if json_:
        print_json([{**cell_json(line), "left": left.get(line.found.cell.id)} for line in lines])
        return
    if lines:
        console.print(cells_table(lines, console), crop=False)
    for key, reason in left.items():
        console.print(plain(f"! cell {key}: {reason}", "yellow"), soft_wrap=True)
    console.print(plain(state_counts(found.values()), "bold"))
