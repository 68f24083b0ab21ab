"""The `a5ctl` program: registers the commands, and turns errors into sentences and exit codes.

Exit codes: 0 done, 1 something failed (or, as diff has it, differs), 2 bad input, 130 stopped by
Ctrl-C.
"""

import errno
import functools
import sys
from collections.abc import Callable
from typing import Any

import typer

from a5ctl.commands import (
    archive,
    close,
    compare,
    delete,
    diagnose,
    doctor,
    export,
    export_runs,
    fetch,
    grade,
    import_,
    init,
    ls,
    model,
    model_fits,
    note,
    pairs,
    plan_cell,
    plan_check,
    plan_report,
    plan_run,
    plan_stop,
    plot,
    probe,
    protocol,
    registry,
    registry_check,
    registry_copy,
    registry_gc,
    registry_repair,
    regrade,
    report,
    reproduce,
    resume,
    run,
    run_dpo,
    run_ei,
    run_grpo,
    show,
    sql,
    tag,
    ui,
)
from a5ctl.completion import offer
from core.errors import UserError

app = typer.Typer(
    name="a5ctl",
    help="Run, compare and diagnose post-training experiments on math word problems.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_START, _LOOK, _GO_ON = "Start something", "Look at what there is", "Go on"
_EXCHANGE, _LABEL = "Responses and runs from and for elsewhere", "Keep the registry in order"
_PANELS: dict[str, dict[str, Callable[..., Any]]] = {
    _START: {"init": init.init, "doctor": doctor.doctor, "fetch": fetch.fetch},
    _LOOK: {
        "ls": ls.ls,
        "show": show.show,
        "compare": compare.compare,
        "diagnose": diagnose.diagnose,
        "probe": probe.probe,
        "plot": plot.plot,
        "report": report.report,
        "ui": ui.ui,
        "sql": sql.sql,
    },
    _GO_ON: {"resume": resume.resume, "reproduce": reproduce.reproduce, "close": close.close},
    _EXCHANGE: {
        "grade": grade.grade,
        "regrade": regrade.regrade,
        "pairs": pairs.pairs,
        "import": import_.import_,
    },
    _LABEL: {"note": note.note, "archive": archive.archive, "delete": delete.delete},
}


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a command: bad input ends with one sentence and 2, a stop with 128 + the signal."""
    offer(command)

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except UserError as error:
            _complain(str(error))
            raise typer.Exit(2) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read the output has left
                raise
            _complain(f"{error.strerror or error}{_place(error)}; {_remedy(error)}")
            raise typer.Exit(2) from error
        except KeyboardInterrupt as stop:
            _complain(f"stopped by {str(stop) or 'SIGINT'}; nothing was left running")
            # without a cause: that is how a stop that nobody spoke of is told from this one
            raise typer.Exit(getattr(stop, "exit_code", 130)) from None

    return wrapper


def _place(error: OSError) -> str:
    return "" if error.filename is None else f": {error.filename}"


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space there, or choose another folder with --home"
    return "check that the place exists and can be written"


def _complain(message: str) -> None:
    from a5ctl.console import err, plain

    err().print(plain("error: ", style="bold red").append_text(plain(message)))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"a5ctl {version('a5ctl')}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Run, compare and diagnose post-training experiments on math word problems."""


def _register() -> None:
    runs = typer.Typer(
        help="Start a run: train a policy, or only evaluate one.", no_args_is_help=True
    )
    runs.command("sft")(guarded(run.sft))
    runs.command("dpo")(guarded(run_dpo.dpo))
    runs.command("grpo")(guarded(run_grpo.grpo))
    runs.command("ei")(guarded(run_ei.ei))
    runs.command("eval")(guarded(run.evaluate))
    app.add_typer(runs, name="run", rich_help_panel=_START)
    models = typer.Typer(
        help="Make models to work on, and see what fits on a GPU.", no_args_is_help=True
    )
    models.command("make")(guarded(model.make))
    models.command("pretrain")(guarded(model.pretrain))
    models.command("fits")(guarded(model_fits.fits))
    app.add_typer(models, name="model", rich_help_panel=_START)
    exports = typer.Typer(
        cls=export_runs.RunsByDefault,
        help="Write what is stored for other programs: a5ctl export RUN... writes whole runs.",
        no_args_is_help=True,
    )
    exports.command(export_runs.DEFAULT)(guarded(export_runs.runs))
    exports.command("responses")(guarded(export.responses))
    app.add_typer(exports, name="export", rich_help_panel=_EXCHANGE)
    protocols = typer.Typer(
        help="How an evaluation was made, and in what two of them differ.", no_args_is_help=True
    )
    protocols.command("show")(guarded(protocol.show))
    protocols.command("diff")(guarded(protocol.diff))
    app.add_typer(protocols, name="protocol", rich_help_panel=_LOOK)
    keeping = typer.Typer(help="Look after the registry itself.", no_args_is_help=True)
    keeping.command("path")(guarded(registry.path))
    keeping.command("stats")(guarded(registry.stats))
    keeping.command("check")(guarded(registry_check.check))
    keeping.command("backup")(guarded(registry_repair.backup))
    keeping.command("copy")(guarded(registry_copy.copy))
    keeping.command("repair")(guarded(registry_repair.repair))
    keeping.command("gc")(guarded(registry_gc.gc))
    keeping.command("migrate")(guarded(registry.migrate))
    app.add_typer(keeping, name="registry", rich_help_panel=_LABEL)
    plans = typer.Typer(
        help="Plans of experiments: many runs described in one file.", no_args_is_help=True
    )
    plans.command("check")(guarded(plan_check.check))
    plans.command("run")(guarded(plan_run.run))
    plans.command("status")(guarded(plan_run.status))
    plans.command("report")(guarded(plan_report.report))
    plans.command("stop")(guarded(plan_stop.stop))
    plans.command("cell")(guarded(plan_cell.cell))
    app.add_typer(plans, name="plan", rich_help_panel=_START)
    for panel, commands in _PANELS.items():
        for name, command in commands.items():
            app.command(name, rich_help_panel=panel)(guarded(command))
    labels = app.command("tag", context_settings=tag.CONTEXT, rich_help_panel=_LABEL)
    labels(guarded(tag.tag))


_register()
