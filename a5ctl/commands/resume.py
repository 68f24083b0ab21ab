"""`a5ctl resume`: go on with a run that did not finish."""

from typing import Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption


def resume(
    run: Annotated[str, typer.Argument(help="Id, unique prefix, or name of the run.")],
    gpus: Annotated[
        int | None, typer.Option(min=1, help="Train on another number of GPUs from here on.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the summary.")] = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Go on with a killed, stopped or failed run, as if nothing had happened.

    Example:

        a5ctl resume sft-256-k3f9
    """
    from a5ctl.options import open_workspace_and_registry
    from core.errors import UserError
    from core.registry.liveness import display_status

    workspace, store = open_workspace_and_registry(home, registry)
    record = store.find_run(run)
    status = display_status(record)
    if status == "finished":
        raise UserError(
            f"run {record.id} is finished; look at it with "
            f"a5ctl show {record.id}, or start a new one"
        )
    if status == "running":
        raise UserError(
            f"run {record.id} is still running (process {record.pid} on {record.host}); "
            "stop it first"
        )
    from a5ctl.process import prepare_process

    prepare_process()
    from a5ctl.launch import launch_resume

    launch_resume(record, workspace, store, gpus=gpus, quiet=quiet, as_json=json_)
