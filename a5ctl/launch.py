"""Carry out one run or a matrix of them, one after the other, and say how each ended."""

import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from a5ctl.console import err, out, plain, print_json
from a5ctl.mirroring import MirrorPlan, display_for, plan_mirrors
from a5ctl.options import open_workspace_and_registry
from a5ctl.tables.summary import matrix_table, run_summary
from a5ctl.worker import worker_command
from core.config.schema import RunConfig
from core.registry.store import Registry, RunRecord
from core.workspace import Workspace
from trainers.distributed.checks import processes
from trainers.execute import House, RunOutcome, resume, start
from trainers.prepare import Prepared, prepare


def launch(
    configs: Sequence[RunConfig],
    home: Path | None,
    registry_url: str | None,
    mirrors: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Check every cell, then run one after the other; a failed one does not stop the rest.

    Args:
        configs: The cells.
        home: Value of `--home`.
        registry_url: Value of `--registry`.
        mirrors: Where live runs are sent as well.
        provenance: What their provenance says beside what is found out here.
        quiet: Show nothing while they work.
        as_json: Standard output is kept for JSON.

    Raises:
        UserError: a cell, or a mirror, cannot be run at all; then none is started.
        typer.Exit: with the exit code of the first run that did not finish.
    """
    workspace, registry = open_workspace_and_registry(home, registry_url, create=True)
    plan = plan_mirrors(mirrors, workspace, registry_url)
    cells = [prepare(config, workspace, registry) for config in configs]
    console = err() if as_json else out()
    outcomes = []
    for number, cell in enumerate(cells, start=1):
        if number > 1:
            gc.collect()  # what the run before left in cycles may hold a whole model
        if len(cells) > 1 and not quiet:
            console.rule(f"run {number} of {len(cells)}", style="dim")
        several = processes(cell.config) > 1
        with _house(workspace, registry, several, plan, quiet=quiet, as_json=as_json) as house:
            outcomes.append(start(cell, replace(house, provenance=provenance or {})))
        _report(outcomes[-1], registry, console, as_json=as_json)
        if outcomes[-1].status == "interrupted":
            break
    if len(cells) > 1 and not as_json:
        run_ids = [outcome.run_id for outcome in outcomes]
        console.print(matrix_table(registry, run_ids, console.width))
    if as_json:
        print_json([_as_json(outcome) for outcome in outcomes])
    _exit(outcomes)


def launch_resume(
    run: RunRecord,
    workspace: Workspace,
    registry: Registry,
    *,
    gpus: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Go on with one run, if asked for with another number of GPUs.

    Raises:
        UserError: it cannot go on.
        typer.Exit: it did not finish.
    """
    console = err() if as_json else out()
    several = (gpus or _gpus(run)) > 1
    with _house(workspace, registry, several, quiet=quiet, as_json=as_json) as house:
        outcome = resume(run, house, gpus)
    _report(outcome, registry, console, as_json=as_json)
    if as_json:
        print_json([_as_json(outcome)])
    _exit([outcome])


def launch_again(
    cell: Prepared,
    workspace: Workspace,
    registry: Registry,
    *,
    provenance: Mapping[str, Any],
    stop_after: int | None,
    quiet: bool,
    as_json: bool,
) -> RunOutcome:
    """Carry out one prepared run and say how it ended, unless it finished.

    Args:
        cell: The run.
        workspace: Where it lives.
        registry: Where it is recorded.
        provenance: What its provenance says beside what is found out here.
        stop_after: End behind this update.
        quiet: Show nothing while it works.
        as_json: Standard output is kept for JSON.
    """
    several = processes(cell.config) > 1
    with _house(workspace, registry, several, quiet=quiet, as_json=as_json) as house:
        return start(cell, replace(house, provenance=provenance, stop_after=stop_after))


def carry_out_one(
    what: RunConfig | RunRecord,
    workspace: Workspace,
    registry: Registry,
    *,
    stop_after: int | None,
    quiet: bool,
    as_json: bool,
) -> RunOutcome:
    """Begin a run, or go on with one, and say how it ended.

    Args:
        what: The configuration of a new run, or the run to go on with.
        workspace: Where it lives.
        registry: Where it is recorded.
        stop_after: End behind this update.
        quiet: Show nothing while it works.
        as_json: Standard output is kept for JSON.

    Raises:
        UserError: it cannot be run.
    """
    if isinstance(what, RunRecord):
        several = _gpus(what) > 1
        with _house(workspace, registry, several, quiet=quiet, as_json=as_json) as house:
            outcome = resume(what, replace(house, stop_after=stop_after))
    else:
        cell = prepare(what, workspace, registry)
        several = processes(cell.config) > 1
        with _house(workspace, registry, several, quiet=quiet, as_json=as_json) as house:
            outcome = start(cell, replace(house, stop_after=stop_after))
    if outcome.status == "finished" and not (quiet or as_json):
        _report(outcome, registry, out(), as_json=False)
    return outcome


def _gpus(run: RunRecord) -> int:
    """Of its stored settings, which are checked only where it goes on."""
    gpus = run.config.get("train", {}).get("gpus", 1)
    return gpus if isinstance(gpus, int) else 1


@contextmanager
def _house(
    workspace: Workspace,
    registry: Registry,
    several: bool,
    plan: MirrorPlan | None = None,
    *,
    quiet: bool,
    as_json: bool,
) -> Iterator[House]:
    """Show the run here, or let the main one of several processes show it."""
    console = err() if as_json else out()
    worker = worker_command(plan, quiet=quiet, as_json=as_json)
    shown_here = None if several else plan
    with display_for(console, shown_here, quiet=quiet or several) as display:
        yield House(workspace, registry, display, sys.argv, worker)
    if several and console.is_terminal:
        console.show_cursor()  # a process that was killed could not put it back


def _report(outcome: RunOutcome, registry: Registry, console: Console, *, as_json: bool) -> None:
    if outcome.status == "finished":
        if not as_json:
            console.print(run_summary(registry, registry.find_run(outcome.run_id)))
        return
    style = "bold yellow" if outcome.status == "interrupted" else "bold red"
    head = plain(f"run {outcome.run_id} {outcome.status}: ", style=style)
    err().print(head.append_text(plain(outcome.message)))


def _as_json(outcome: RunOutcome) -> dict[str, Any]:
    return {
        "run": outcome.run_id,
        "status": outcome.status,
        "exit_code": outcome.exit_code,
        "message": outcome.message,
    }


def _exit(outcomes: Sequence[RunOutcome]) -> None:
    code = next((outcome.exit_code for outcome in outcomes if outcome.exit_code), 0)
    if code:
        raise typer.Exit(code)
