"""What `a5ctl plan run --on PLACE` takes and prints beyond a plan that is carried out here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from a5ctl.cluster.places import Job
    from a5ctl.cluster.site import Recording
    from core.plans.cells import Cell
    from core.plans.plan import Plan
    from core.registry.store import Registry
    from core.workspace import Workspace

_PANEL = "Elsewhere"
On = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE",
        help="Elsewhere: ray (started here), ray://HOST:PORT, HOST:PORT or auto (a Ray that "
        "runs), slurm, pbs (docs/cluster.md).",
        rich_help_panel=_PANEL,
    ),
]
SiteFile = Annotated[
    Path | None,
    typer.Option(
        help="For slurm and pbs: walltime, queue, modules and so on (TOML).",
        rich_help_panel=_PANEL,
    ),
]
RecordingWhere = Annotated[
    str | None,
    typer.Option(
        metavar="auto|shared|node",
        help="Where cells record: in the registry (shared), or on their node, from whose "
        "journals it is brought in; auto chooses.",
        rich_help_panel=_PANEL,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print the scripts for slurm or pbs instead.",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where cells are carried out, as it was asked for.

    Attributes:
        on: Value of `--on`.
        site: Value of `--site`.
        recording: Value of `--recording`.
    """

    on: str
    site: Path | None
    recording: "Recording | None"

    def job(
        self,
        plan: "Plan",
        workspace: "Workspace",
        store: "Registry",
        registry: str | None,
        jobs: int | None,
        *,
        take_over: bool,
    ) -> "Job":
        """The plan to carry out there.

        Raises:
            UserError: the place cannot carry out such a plan.
        """
        from a5ctl.cluster.places import Job

        return Job(
            plan,
            workspace,
            store,
            self.on,
            self.site,
            registry,
            self.recording,
            jobs,
            take_over,
        )


def wanted_place(
    on: str | None, site: Path | None, recording: str | None, *, dry_run: bool
) -> Place | None:
    """Where cells are to be carried out; None where all is done here.

    Raises:
        UserError: options are unknown, or do not go together.
    """
    if on is None and site is None and recording is None and not dry_run:
        return None
    from a5ctl.cluster.places import check_place
    from a5ctl.cluster.site import Recording
    from core.errors import UserError

    check_place(on, site, dry_run=dry_run)
    if on is None:
        raise UserError("--recording says where cells record that run elsewhere; add --on PLACE")
    if recording is not None and recording not in set(Recording):
        raise UserError(f"--recording {recording!r} is unknown; choose {', '.join(Recording)}")
    return Place(on, site, None if recording is None else Recording(recording))


def show_scripts(job: "Job", cells: "Sequence[Cell]", *, json_: bool) -> None:
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


def tell_of_jobs(file: Path, console: "Console") -> None:
    """Say that jobs go on without this command, and what follows and stops them."""
    import shlex

    from a5ctl.console import plain

    text = (
        "the jobs go on without this command; the same command follows them again, and "
        f"a5ctl plan stop {shlex.quote(str(file))} stops them"
    )
    console.print(plain(text, "yellow"), soft_wrap=True)
