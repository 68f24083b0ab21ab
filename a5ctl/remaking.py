"""From a recorded run to the same run again: what differs, the run itself, the comparison."""

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from a5ctl.console import err, out, plain, print_json
from a5ctl.process import prepare_process
from a5ctl.tables.reproduction import comparison_json, differences_json, verdict
from a5ctl.tables.reproduction_view import print_comparison, print_differences
from core.errors import UserError
from core.registry.afterwards import add_to_journal
from core.registry.entries import EventEntry, new_uuid
from core.registry.records import RunRecord, RunStatus
from core.registry.store import Registry
from core.reproduction.compare import RunsComparison, compare_runs
from core.reproduction.surroundings import Difference
from core.reproduction.threads import set_thread_variables, set_torch_threads
from core.workspace import Workspace

if TYPE_CHECKING:
    from trainers.execute import RunOutcome


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for, as the options of `a5ctl reproduce` say it."""

    check: bool
    steps: int | None
    anyway: bool
    initial: tuple[str, int | None] | None
    name: str | None
    quiet: bool
    as_json: bool


def remake(run: RunRecord, workspace: Workspace, registry: Registry, wishes: Wishes) -> int:
    """Make a run again, or only say what differs; returns the exit code.

    Raises:
        UserError: it cannot be made again, or only with `--anyway`.
    """
    recorded = registry.provenance(run.uuid)
    notes = set_thread_variables(recorded)  # before torch is loaded
    prepare_process()
    from core.provenance import collect_provenance
    from core.reproduction.surroundings import differences
    from trainers.reproduction import Initial, check_recorded, plan_reproduction

    check_recorded(run, recorded, workspace)
    notes += set_torch_threads(recorded)
    initial = None if wishes.initial is None else Initial(*wishes.initial)
    plan = plan_reproduction(
        run, workspace, registry, initial=initial, steps=wishes.steps, name=wishes.name
    )
    found = [*plan.changed, *differences(recorded, collect_provenance(sys.argv).to_json())]
    notes += plan.notes
    if "packages" not in recorded:
        notes.append(f"{run.id} recorded no provenance, so code and versions are not compared")
    if wishes.check:
        return _report(run, found, plan.obstacle, notes, wishes)
    console = err() if wishes.as_json else out()
    if not wishes.quiet:
        print_differences(run, found, notes, console, possible=plan.obstacle is None)
    if plan.obstacle is not None:
        raise UserError(plan.obstacle)
    if plan.refusals and not wishes.anyway:
        raise UserError(plan.refusals[0])
    assert plan.prepared is not None  # there is no obstacle
    from a5ctl.launch import launch_again

    outcome = launch_again(
        plan.prepared,
        workspace,
        registry,
        provenance=plan.link,
        stop_after=plan.stop_after,
        quiet=wishes.quiet,
        as_json=wishes.as_json,
    )
    failed_likewise = outcome.status == run.status == RunStatus.FAILED
    if outcome.exit_code and not failed_likewise:
        return _unfinished(run, outcome, wishes)
    if failed_likewise and not wishes.quiet:
        console.print(plain(f"both runs failed; the new one says: {outcome.message}", "yellow"))
    again = registry.find_run(outcome.run_id)
    compared = compare_runs(registry, workspace, run, again)
    _record(registry, workspace, compared, found)
    if wishes.as_json:
        print_json({**differences_json(run, found, None, notes), **comparison_json(compared)})
    else:
        print_comparison(compared, console)
    return 0 if compared.same else 1


def _report(
    run: RunRecord,
    found: list[Difference],
    obstacle: str | None,
    notes: list[str],
    wishes: Wishes,
) -> int:
    if wishes.as_json:
        print_json(differences_json(run, found, obstacle, notes))
    else:
        print_differences(run, found, notes, out(), possible=obstacle is None)
        if obstacle is not None:
            out().print(plain("✗ ", "bold red").append_text(plain(obstacle)))
    return 1 if found or obstacle is not None else 0


def _unfinished(run: RunRecord, outcome: "RunOutcome", wishes: Wishes) -> int:
    again = outcome.run_id
    head = plain(f"run {again} did not finish: ", "bold red")
    err().print(head.append_text(plain(outcome.message)))
    err().print(plain(f"  then compare with: a5ctl reproduce {run.id} --with {again}", "cyan"))
    if wishes.as_json:
        ending = {"status": outcome.status, "message": outcome.message}
        print_json({"run": run.id, "again": again, "same": None, **ending})
    return outcome.exit_code


def _record(
    registry: Registry, workspace: Workspace, compared: RunsComparison, found: list[Difference]
) -> None:
    """Have the new run tell what came out; its record is whole without that, too."""
    event = EventEntry(
        uuid=new_uuid(),
        time=time.time(),
        step=None,
        severity="info" if compared.same else "warning",
        kind="reproduction",
        message=f"made again from {compared.recorded.id}: {verdict(compared)}",
        data={
            "of": compared.recorded.id,
            "same": compared.same,
            "steps": compared.steps,
            "surroundings_differ": [f"{d.aspect}: {d.name}" for d in found],
        },
    )
    folder = workspace.run_folder(compared.again.id)
    try:
        add_to_journal(registry, compared.again, folder, [event])
    except (UserError, OSError) as error:
        err().print(plain(f"! the result could not be recorded: {error}", "yellow"))
