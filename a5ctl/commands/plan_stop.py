"""`a5ctl plan stop`: stop what works at a plan, on this machine and in the queues of clusters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

if TYPE_CHECKING:
    from core.plans.plan import Plan
    from core.registry.store import Registry
    from core.workspace import Workspace


def stop(
    file: Annotated[Path, typer.Argument(help="The plan (TOML, see docs/plans.md).")],
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", envvar="A5CTL_QUIET", help="Print nothing.")
    ] = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Stop the cells of a plan, wherever they are: each saves itself and can go on later.

    Jobs of Slurm and PBS that wait are taken out of the queue. Tasks of Ray end with the command
    that started them: stop that one with Ctrl-C.

    Examples:

        a5ctl plan stop plan.toml
    """
    from a5ctl.console import out, plain, print_json
    from a5ctl.options import open_workspace_and_registry
    from core.plans.load import load_plan

    plan = load_plan(file)
    workspace, store = open_workspace_and_registry(home, registry)
    jobs, cells = _stop_jobs(plan, workspace)
    runs = _stop_processes(plan, store, {f"cell:{cell}" for cell in cells})
    if json_:
        print_json({"jobs": jobs, "runs": runs})
        return
    for name, said in jobs.items():
        if not quiet:
            out().print(plain(said or f"job {name}"), soft_wrap=True)
    for run_id in runs:
        if not quiet:
            out().print(plain(f"run {run_id}, on this machine, stops at its next step"))
    if not (jobs or runs or quiet):
        out().print(plain(f"nothing of plan {plan.name} is at work here or in a queue", "dim"))


def _stop_jobs(plan: "Plan", workspace: "Workspace") -> tuple[dict[str, str], set[str]]:
    """What was said about each array, by its id; the cells that are in them."""
    from a5ctl.cluster.batch import BatchError, Phase
    from a5ctl.cluster.cancelling import cancel
    from a5ctl.cluster.ledger import Ledger
    from a5ctl.cluster.places import system_named
    from core.errors import UserError
    from core.plans.folder import plan_folder

    ledger = Ledger(plan_folder(workspace, plan.name).path)
    ledger.read()
    told: dict[str, str] = {}
    cells: set[str] = set()
    for submission in ledger:
        if submission.refused or submission.job.job_id is None or submission.is_over:
            continue
        system = system_named(submission.system)
        try:
            found = system.elements([submission.job])
        except BatchError as error:
            raise UserError(f"{error}; its jobs may go on") from error
        if any(element.phase is not Phase.ENDED for element in found.values()):
            told[submission.job.job_id] = cancel(system, submission)
            cells |= set(submission.job.cells)
    return told, cells


def _stop_processes(plan: "Plan", registry: "Registry", told_tags: set[str]) -> list[str]:
    """Runs of the plan whose process is on this machine, and was told to stop.

    A second word would mean at once: cells that a batch system has told are left out.
    """
    import os
    import signal

    from core.plans.runs import runs_by_tag
    from core.registry.processes import ProcessState, process_state

    found = {run.uuid: run for runs in runs_by_tag(registry, plan.name).values() for run in runs}
    told = []
    for run in found.values():
        alive = process_state(run.host, run.pid, run.process_start) is ProcessState.ALIVE
        if run.status.settled or set(run.tags) & told_tags:
            continue
        if alive and run.pid is not None:
            os.kill(run.pid, signal.SIGTERM)
            told.append(run.id)
    return told
