"""`a5ctl plan run` and `a5ctl plan status`: carry a plan out, and say where it stands."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from a5ctl.cluster.places import Job
    from a5ctl.plans.executor import Executor
    from core.plans.cells import Cell
    from core.plans.load import Plan
    from core.plans.runs import CellRun
    from core.registry.store import Registry
    from core.workspace import Workspace

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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the summary.")] = False,
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

        a5ctl plan run plan.toml --on slurm --site site.toml
    """
    from a5ctl.console import err, out
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.plans.driver import Driver, Manner, check_goals, end_code
    from a5ctl.plans.halving import carry_out_in_rungs
    from a5ctl.plans.watching import PlanDisplay
    from core.errors import UserError
    from core.plans.load import load_plan

    plan = load_plan(file)
    chosen = plan.select(only or [])
    if plan.form.halving is not None and only:
        raise UserError("[halving] compares all cells of a plan; leave out --only")
    check_goals(plan)
    elsewhere = _elsewhere(on, site, recording, dry_run=dry_run)
    workspace, store = open_workspace_and_registry(home, registry, create=True)
    if elsewhere is None:
        executor, jobs = _local(file, plan.name, workspace, registry, jobs, take_over=take_over)
    else:
        job = elsewhere(plan, workspace, store, registry, jobs, take_over)
        if dry_run:
            _show_scripts(job, chosen, json_=json_)
            return
    store.note_plan(plan.name, plan.hash, plan.text, workspace)
    console = err() if json_ else out()
    with PlanDisplay(console, store, quiet=quiet, jobs=jobs) as display:
        if elsewhere is not None:
            from a5ctl.cluster.places import executor_for

            executor = executor_for(job, display.note)
        display.stops_cells = not executor.detach()
        manner = Manner(resume, fail_fast, take_over)
        driver = Driver(plan, store, executor, display, manner)
        try:
            if plan.form.halving is None:
                driver.carry_out(lambda: chosen)
            else:
                carry_out_in_rungs(driver, plan, workspace)
        finally:
            executor.close()
    if driver.signum is not None and executor.detach():
        _tell_of_jobs(file, console)
    from core.plans.runs import cell_runs

    found = cell_runs(store, plan, chosen)
    _conclude(store, found, driver.left, console, json_=json_)
    if code := end_code(found, driver):
        raise typer.Exit(code)


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

    plan = load_plan(file)
    chosen = plan.select(only) if only else tuple(plan.by_id.values())
    _, store = open_workspace_and_registry(home, registry)
    _conclude(store, cell_runs(store, plan, chosen), {}, out(), json_=json_)


def _elsewhere(
    on: str | None, site: Path | None, recording: str | None, *, dry_run: bool
) -> "Callable[..., Job] | None":
    """Makes what is carried out elsewhere of what is known later; None where all is done here."""
    if on is None and site is None and recording is None and not dry_run:
        return None
    from a5ctl.cluster.places import Job, check_place
    from a5ctl.cluster.site import Recording
    from core.errors import UserError

    check_place(on, site, dry_run=dry_run)
    if on is None:
        raise UserError("--recording says where cells record that run elsewhere; add --on PLACE")
    if recording is not None and recording not in set(Recording):
        raise UserError(f"--recording {recording!r} is unknown; choose {', '.join(Recording)}")
    where = None if recording is None else Recording(recording)

    def made(
        plan: "Plan",
        workspace: "Workspace",
        registry: "Registry",
        registry_option: str | None,
        jobs: int | None,
        take_over: bool,
    ) -> "Job":
        return Job(plan, workspace, registry, on, site, registry_option, where, jobs, take_over)

    return made


def _show_scripts(job: "Job", cells: "Sequence[Cell]", *, json_: bool) -> None:
    """Print what would be handed in now, and hand nothing in."""
    import sys

    from a5ctl.cluster.places import scripts
    from a5ctl.console import err, plain, print_json, printable
    from core.plans.runs import CellState, cell_runs

    every = [job.plan.by_id[cell.start] for cell in cells if cell.start is not None]
    found = cell_runs(job.registry, job.plan, {c.id: c for c in (*every, *cells)}.values())
    missing = [each.cell for each in found.values() if not each.state.done]
    ready = [
        cell
        for cell in missing
        if cell.start is None or found[cell.start].state is CellState.FINISHED
    ]
    made = scripts(job, ready)
    if json_:
        print_json([{"cells": ids, "script": text} for text, ids in made])
    else:
        sys.stdout.write("\n".join(printable(text) for text, _ in made))
    if later := len(missing) - len(ready):
        text = f"{later} more cells follow when those that they start from are finished"
        err().print(plain(text, "dim"))


def _tell_of_jobs(file: Path, console: "Console") -> None:
    import shlex

    from a5ctl.console import plain

    text = (
        "the jobs go on without this command; the same command follows them again, and "
        f"a5ctl plan stop {shlex.quote(str(file))} stops them"
    )
    console.print(plain(text, "yellow"), soft_wrap=True)


def _local(
    file: Path,
    name: str,
    workspace: "Workspace",
    registry: str | None,
    jobs: int | None,
    *,
    take_over: bool,
) -> "tuple[Executor, int]":
    from a5ctl.plans.executor import CellCommand
    from a5ctl.plans.local import LocalExecutor, visible_gpus
    from core.errors import UserError
    from core.plans.folder import plan_folder

    gpus = visible_gpus()
    if jobs is not None and gpus and jobs > len(gpus):
        raise UserError(
            f"--jobs {jobs} is more than the {len(gpus)} GPUs of this machine, of which every "
            "cell gets its own; give at most that many"
        )
    jobs = jobs or max(1, len(gpus))
    command = CellCommand(file, workspace.root, registry)
    folder = plan_folder(workspace, name)
    return LocalExecutor(command, folder, jobs, gpus, take_over), jobs


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
    console.print(cells_table(lines, console))
    for key, reason in left.items():
        console.print(plain(f"! cell {key}: {reason}", "yellow"), soft_wrap=True)
    console.print(plain(state_counts(found.values()), "bold"))
