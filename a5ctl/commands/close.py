"""`a5ctl close`: settle by hand a run that ended without saying so."""

from typing import Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

_REASON = "closed by hand"


def close(
    run: Annotated[str, typer.Argument(help="Id, unique prefix, or name of the run.")],
    force: Annotated[
        bool, typer.Option("--force", help="Even if the run shows signs of life.")
    ] = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Mark a stale or lost run as interrupted, with everything its journal holds.

    A run that turns out to be alive becomes running again with its next sign of life.

    Examples:

        a5ctl close sft-256-k3f9
    """
    from a5ctl.console import out, plain, print_json
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.settling import settle
    from core.errors import UserError
    from core.registry.live_runs import is_recorded
    from core.registry.liveness import display_status
    from core.registry.records import RunStatus

    workspace, store = open_workspace_and_registry(home, registry)
    record = store.find_run(run)
    if record.status.settled:
        raise UserError(f"run {record.id} is {record.status} already; there is nothing to close")
    if display_status(record) in (RunStatus.RUNNING, RunStatus.QUEUED) and not force:
        raise UserError(
            f"run {record.id} is alive (process {record.pid} on {record.host}); stop it first, or "
            "close it anyway with --force"
        )
    folder = workspace.run_folder(record.id)
    settled = settle(workspace, store, record, _REASON)
    if json_:
        print_json({"run": record.id, "status": settled, "held": is_recorded(folder)})
        return
    rest = f"go on with: a5ctl resume {record.id}"
    if is_recorded(folder):
        rest = f"process {record.pid} holds it still, and makes it running again if it wakes up"
    out().print(plain(f"run {record.id} is {settled}; {rest}"), soft_wrap=True)
