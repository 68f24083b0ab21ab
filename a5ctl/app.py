"""The `a5ctl` program: names its commands, and turns errors into sentences and exit codes.

A command is imported when a line calls it, and all of them only where the Tab key may ask for any.
Exit codes: 0 done, 1 something failed (or, as diff has it, differs), 2 bad input, 130 stopped by
Ctrl-C.
"""

import errno
import functools
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer

from a5ctl.completion import offer
from a5ctl.help_pages import Command, Group
from core.errors import UserError

_START, _LOOK, _GO_ON = "Start something", "Look at what there is", "Go on"
_EXCHANGE, _LABEL = "Responses and runs from and for elsewhere", "Keep the registry in order"

# by panel in the order of help; a place is module:function below a5ctl.commands
_COMMANDS = {
    _START: {"init": "init:init", "doctor": "doctor:doctor", "fetch": "fetch:fetch"},
    _LOOK: {
        "ls": "ls:ls",
        "show": "show:show",
        "compare": "compare:compare",
        "diagnose": "diagnose:diagnose",
        "probe": "probe:probe",
        "plot": "plot:plot",
        "report": "report:report",
        "ui": "ui:ui",
        "sql": "sql:sql",
    },
    _GO_ON: {
        "resume": "resume:resume",
        "reproduce": "reproduce:reproduce",
        "close": "close:close",
    },
    _EXCHANGE: {
        "grade": "grade:grade",
        "regrade": "regrade:regrade",
        "pairs": "pairs:pairs",
        "import": "import_:import_",
    },
    _LABEL: {
        "note": "note:note",
        "archive": "archive:archive",
        "delete": "delete:delete",
        "tag": "tag:tag",
    },
}
_GROUPS = {
    "run": {
        "sft": "run:sft",
        "dpo": "run_dpo:dpo",
        "grpo": "run_grpo:grpo",
        "ei": "run_ei:ei",
        "eval": "run:evaluate",
    },
    "model": {"make": "model:make", "pretrain": "model:pretrain", "fits": "model_fits:fits"},
    "export": {"runs": "export_runs:runs", "responses": "export:responses"},
    "protocol": {"show": "protocol:show", "diff": "protocol:diff"},
    "registry": {
        "path": "registry:path",
        "stats": "registry:stats",
        "check": "registry_check:check",
        "backup": "registry_repair:backup",
        "copy": "registry_copy:copy",
        "repair": "registry_repair:repair",
        "gc": "registry_gc:gc",
        "migrate": "registry:migrate",
    },
    "plan": {
        "check": "plan_check:check",
        "run": "plan_run:run",
        "status": "plan_run:status",
        "report": "plan_report:report",
        "stop": "plan_stop:stop",
        "cell": "plan_cell:cell",
    },
}
_ABOUT_GROUPS = {
    "run": (_START, "Start a run: train a policy, or only evaluate one."),
    "model": (_START, "Make models to work on, and see what fits on a GPU."),
    "export": (
        _EXCHANGE,
        "Write what is stored for other programs: a5ctl export RUN... writes whole runs.",
    ),
    "protocol": (_LOOK, "How an evaluation was made, and in what two of them differ."),
    "registry": (_LABEL, "Look after the registry itself."),
    "plan": (_START, "Plans of experiments: many runs described in one file."),
}


_LONGEST = 4000
"""Characters of an error."""


def known() -> set[str]:
    """Every command and group by its name."""
    return {*_GROUPS, *(name for commands in _COMMANDS.values() for name in commands)}


def build(called: str | None = None) -> typer.Typer:
    """The program.

    Args:
        called: The command or group that a line calls; where there is one of that name, only it is
            part of the program.
    """
    program = _empty()
    wanted = {called} & known() or known()
    for name in (name for name in _GROUPS if name in wanted):
        _add_group(program, name)
    for panel, commands in _COMMANDS.items():
        for name in (name for name in commands if name in wanted):
            _add(program, name, commands[name], rich_help_panel=panel)
    return program


def outline() -> typer.Typer:
    """The program as its help shows it: every name with its summary, and nothing imported."""
    from a5ctl.command_summaries import SUMMARIES

    program = _empty()
    for panel, commands in _COMMANDS.items():
        for name in commands:
            _outlined(program, name, SUMMARIES[name], panel)
    for name, (panel, about) in _ABOUT_GROUPS.items():
        _outlined(program, name, about, panel)
    return program


def _outlined(program: typer.Typer, name: str, summary: str, panel: str) -> None:
    program.command(name, cls=Command, help=summary, rich_help_panel=panel)(_unreachable)


def _unreachable() -> None:
    raise RuntimeError("an outline of the program was asked to carry out a command")


def _empty() -> typer.Typer:
    program = typer.Typer(
        name="a5ctl",
        cls=Group,
        help="Run, compare and diagnose post-training experiments on math word problems.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.callback()(_root)
    return program


def _add_group(program: typer.Typer, name: str) -> None:
    panel, about = _ABOUT_GROUPS[name]
    options: dict[str, Any] = {"cls": Group, "help": about, "no_args_is_help": True}
    if name == "export":
        from a5ctl.commands.export_runs import RunsByDefault

        options["cls"] = RunsByDefault
    group = typer.Typer(**options)
    for command, place in _GROUPS[name].items():
        _add(group, command, place)
    program.add_typer(group, name=name, rich_help_panel=panel)


def _add(program: typer.Typer, name: str, place: str, **options: Any) -> None:
    module_name, _, function = place.partition(":")
    module = import_module(f"a5ctl.commands.{module_name}")
    settings = getattr(module, "CONTEXT", None)
    options |= {"cls": Command, "context_settings": settings}
    program.command(name, **options)(guarded(getattr(module, function)))


def __getattr__(name: str) -> Any:
    """`app`, the whole program, built when it is first asked for."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    whole = globals()["app"] = build()
    return whole


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

    if len(message) > _LONGEST:  # what is wrong may be a value of any length
        half = _LONGEST // 2
        message = f"{message[:half]} [...] {message[-half:]}"
    err().print(plain("error: ", style="bold red").append_text(plain(message)))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"a5ctl {version('a5ctl')}\n")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Run, compare and diagnose post-training experiments on math word problems."""
