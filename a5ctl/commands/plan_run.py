"""`a5ctl plan run` and `a5ctl plan status`: carry a plan out, and say where it stands."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

if TYPE_CHECKING:
    from rich.console import Console

    from a5ctl.plans.executor import Executor
    from core.plans.runs import CellRun
    from core.registry.store import Registry
    from core.workspace import Workspace

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
    workspace, store = open_workspace_and_registry(home, registry, create=True)
    store.note_plan(plan.name, plan.hash, plan.text, workspace)
    executor, jobs = _local(file, plan.name, workspace, registry, jobs, take_over=take_over)
    console = err() if json_ else out()
    with PlanDisplay(console, store, quiet=quiet, jobs=jobs) as display:
        manner = Manner(resume, fail_fast, take_over)
        driver = Driver(plan, store, executor, display, manner)
        try:
            if plan.form.halving is None:
                driver.carry_out(lambda: chosen)
            else:
                carry_out_in_rungs(driver, plan, workspace)
        finally:
            executor.close()
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
