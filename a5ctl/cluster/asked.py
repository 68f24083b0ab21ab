"""What a person asked for with `--on`: checked first, and carried out when the plan is open."""

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from a5ctl.cluster.places import BATCH, Job, check_place, executor_for, scripts
from a5ctl.cluster.site import Recording
from a5ctl.console import err, plain, print_json, printable
from core.errors import UserError
from core.plans.cells import Cell
from core.plans.plan import Plan
from core.plans.runs import CellState, cell_runs
from core.plans.search import known_cells
from core.registry.store import Registry
from core.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

    from a5ctl.plans.executor import Executor


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where cells are to be carried out, and how.

    Attributes:
        on: Value of `--on`.
        site: Value of `--site`.
        recording: Value of `--recording`.
    """

    on: str
    site: Path | None
    recording: Recording | None

    @property
    def detached(self) -> bool:
        """Cells go on where the command ends."""
        return self.on in BATCH

    def job(
        self,
        plan: Plan,
        workspace: Workspace,
        registry: Registry,
        registry_option: str | None,
        jobs: int | None,
        take_over: bool,
    ) -> Job:
        """What is carried out there."""
        known = known_cells(plan, registry)
        options = (registry_option, self.recording, jobs, take_over)
        return Job(known, workspace, registry, self.on, self.site, *options)

    def executor(self, job: Job, tell: Callable[[str], None]) -> "Executor":
        """What carries the cells out.

        Raises:
            UserError: there is no such place.
        """
        return executor_for(job, tell)


def elsewhere(
    on: str | None, site: Path | None, recording: str | None, *, dry_run: bool
) -> Elsewhere | None:
    """What was asked for; None where all is carried out here.

    Raises:
        UserError: the options do not go together.
    """
    if on is None and site is None and recording is None and not dry_run:
        return None
    check_place(on, site, dry_run=dry_run)
    if on is None:
        raise UserError("--recording says where cells record that run elsewhere; add --on PLACE")
    if recording is not None and recording not in set(Recording):
        raise UserError(f"--recording {recording!r} is unknown; choose {', '.join(Recording)}")
    return Elsewhere(on, site, None if recording is None else Recording(recording))


def show_scripts(job: Job, cells: Sequence[Cell], *, json_: bool) -> None:
    """Print what would be handed in now, and hand nothing in."""
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


def leave_jobs(file: Path, console: "Console", signum: int) -> NoReturn:
    """Say that the jobs go on.

    Raises:
        typer.Exit: with the exit code of a stop.
    """
    text = (
        "the jobs go on without this command; the same command follows them again, and "
        f"a5ctl plan stop {shlex.quote(str(file))} stops them"
    )
    console.print(plain(text, "yellow"), soft_wrap=True)
    raise typer.Exit(128 + signum)
