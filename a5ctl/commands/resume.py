"""`a5ctl resume`: go on with a run that did not finish."""

from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, QuietOption, RegistryOption

if TYPE_CHECKING:
    from core.registry.records import RunRecord


def resume(
    run: Annotated[str, typer.Argument(help="Id, unique prefix, or name of the run.")],
    gpus: Annotated[
        int | None, typer.Option(min=1, help="Train on another number of GPUs from here on.")
    ] = None,
    quiet: QuietOption = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Go on with a killed, stopped or failed run, as if nothing had happened.

    Examples:

        a5ctl resume sft-256-k3f9
    """
    from a5ctl.options import open_workspace_and_registry
    from core.errors import UserError
    from core.registry.live_runs import is_recorded
    from core.registry.liveness import STALE, display_status

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
    if is_recorded(workspace.run_folder(record.id)):
        raise UserError(
            f"run {record.id} is {status}, but a process holds its folder (recorded: {record.pid} "
            f"on {record.host}; stopped or stuck, it may wake up again): let it go on with kill "
            "-CONT, or end it with kill -KILL, first"
        )
    if status == STALE:
        _warn_of_silence(record)
    from a5ctl.process import prepare_process

    prepare_process()
    from a5ctl.launch import launch_resume

    launch_resume(record, workspace, store, gpus=gpus, quiet=quiet, as_json=json_)


def _warn_of_silence(run: "RunRecord") -> None:
    """Nothing here can prove that a process on another machine is over."""
    from a5ctl.console import err, plain

    text = (
        f"run {run.id} was last heard of on {run.host} and did not say that it ended; should it "
        "still run there, stop it, as two processes must not record one run"
    )
    err().print(plain(text, "yellow"))
