"""The commands under `a5ctl run`, made of their settings and of what all of them take."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from a5ctl.options import HomeOption, JsonOption, QuietOption, RegistryOption
from a5ctl.run_settings import COMMON, RECORD, Setting, left_to_the_defaults

if TYPE_CHECKING:
    from a5ctl.cells import Cells

Command = Callable[..., None]
Given = dict[str, Any]
"""What was typed, by setting; None where nothing was."""

_BY_NAME = Parameter.KEYWORD_ONLY
_LAST = frozenset({"mirror", "quiet", "json_", "home", "registry"})
"""What help shows last, behind all settings."""

Seeds = Annotated[
    str | None,
    typer.Option(
        "--seed", help="One seed or several: 0,1,2; 0 if not given.", rich_help_panel=COMMON
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        envvar="A5CTL_MODEL",
        callback=left_to_the_defaults,
        help="builtin, a folder with safetensors, or a hub id.",
        rich_help_panel=COMMON,
    ),
]
Init = Annotated[
    str | None,
    typer.Option(
        "--init",
        help="Continue from a run (RUN, RUN:STEP or RUN:best), or start from a model.",
        rich_help_panel=COMMON,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="Start from this TOML file.", rich_help_panel=COMMON),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting: --set train.lr=1e-5.", rich_help_panel=COMMON),
]
Mirrors = Annotated[
    list[str] | None,
    typer.Option(
        "--mirror",
        envvar="A5CTL_MIRROR",
        metavar="tensorboard|wandb|mlflow",
        help="Also send the live run there; repeatable.",
        rich_help_panel=RECORD,
    ),
]


@dataclass(frozen=True, slots=True)
class Call:
    """What all commands take that is no single setting."""

    model: Model = None
    seed: Seeds = None
    config: Config = None
    set_: Set = None
    mirror: Mirrors = None
    quiet: QuietOption = False
    json_: JsonOption = False
    home: HomeOption = None
    registry: RegistryOption = None


_OF_ALL = tuple(
    Parameter(field.name, _BY_NAME, default=field.default, annotation=field.type)
    for field in fields(Call)
)


def takes(*settings: Setting) -> Callable[[Command], Command]:
    """Let a command take settings, and what all commands take: it gets a `Call` and a `Given`.

    Args:
        settings: In the order of the help, behind what the command takes itself.
    """

    def decorate(command: Command) -> Command:
        _, _, *own = inspect.signature(command).parameters.values()
        return _made(command, command, own, settings)

    return decorate


def trains(
    kind: str,
    *settings: Setting,
    size: str = "Training problems",
    own: Mapping[str, Any] | None = None,
    derive: Callable[..., Mapping[str, Any]] = dict,
) -> Callable[[Command], Command]:
    """Make the command that trains runs of a kind; what is decorated gives name and help.

    Args:
        kind: As `core.config` names it.
        settings: What it takes, in the order of the help.
        size: What `--size` counts.
        own: Types of parameters of its own, by name, which are no settings.
        derive: Makes further settings of the values of these.
    """
    counted = typer.Option(
        "--size",
        help=f"{size}: 256, or several: 128,256,full; all if not given.",
        rich_help_panel=COMMON,
    )
    front = {"size": Annotated[str | None, counted], **(own or {}), "init": Init}

    def command(call: Call, given: Given, size: str | None, init: str | None, **own: Any) -> None:
        from a5ctl.cells import build_cells, model_source, start_tree

        derived = derive(**own)
        source = model_source(call.model, init, call.home, call.registry)
        tree = start_tree(kind, call.config, source, call.home)
        settings = {**source.settings, **given, **derived}
        launch(build_cells(tree, settings, call.set_, size, call.seed), call)

    taken = [Parameter(name, _BY_NAME, default=None, annotation=t) for name, t in front.items()]
    return lambda described: _made(command, described, taken, settings)


def launch(cells: "Cells", call: Call) -> None:
    """Prepare this process, and carry the runs out."""
    from a5ctl.process import prepare_process

    prepare_process()
    from a5ctl import launch as runs

    runs.launch(
        cells,
        call.home,
        call.registry,
        call.mirror or (),
        cells.provenance,
        quiet=call.quiet,
        as_json=call.json_,
    )


def _made(
    command: Command, described: Command, own: Iterable[Parameter], settings: Sequence[Setting]
) -> Command:
    """A command as the program takes it, under the name and the help of what is described."""
    by_name = {setting.parameter.name: setting for setting in settings}

    def made(**typed: Any) -> None:
        given = {setting.key: setting.value(typed.pop(n)) for n, setting in by_name.items()}
        call = Call(**{one.name: typed.pop(one.name) for one in _OF_ALL})
        command(call, given, **typed)

    taken = [p.replace(kind=_BY_NAME) for p in own] + [*_OF_ALL, *(s.parameter for s in settings)]
    taken.sort(key=lambda parameter: parameter.name in _LAST)
    made.__name__, made.__doc__ = described.__name__, described.__doc__
    made.__module__ = described.__module__
    made.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
    made.__annotations__ = {parameter.name: parameter.annotation for parameter in taken}
    return made
