"""The commands under `a5ctl run`, made of their settings and of what all of them take."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption
from a5ctl.run_settings import COMMON, RECORD, Setting, left_to_the_defaults

if TYPE_CHECKING:
    from a5ctl.cells import Cells

Command = Callable[..., None]

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
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        envvar="A5CTL_QUIET",
        help="Print only the summary.",
        rich_help_panel=RECORD,
    ),
]


def takes(*settings: Setting) -> Callable[[Command], Command]:
    """Let a command take settings: it gets what was typed as `given`, by setting, None elsewhere.

    Args:
        settings: In the order of the help, behind what the command takes itself.
    """
    named = {setting.parameter.name: setting for setting in settings}

    def decorate(command: Command) -> Command:
        def wrapper(**typed: Any) -> None:
            given = {setting.key: setting.value(typed.pop(n)) for n, setting in named.items()}
            command(given=given, **typed)

        return _signed(wrapper, command, [*_parameters(command), *_parameters_of(settings)])

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
    more = {"size": Annotated[str | None, counted], **(own or {})}

    @takes(*settings)
    def command(
        given: dict[str, Any],
        size: str | None = None,
        seed: Seeds = None,
        model: Model = None,
        init: Init = None,
        config: Config = None,
        set_: Set = None,
        mirror: Mirrors = None,
        quiet: Quiet = False,
        json_: JsonOption = False,
        home: HomeOption = None,
        registry: RegistryOption = None,
        **others: Any,
    ) -> None:
        from a5ctl.cells import build_cells, model_source, start_tree

        derived = derive(**others)
        source = model_source(model, init, home, registry)
        tree = start_tree(kind, config, source, home)
        cells = build_cells(tree, {**source.settings, **given, **derived}, set_, size, seed)
        launch(cells, home, registry, mirror, quiet=quiet, as_json=json_)

    front = [Parameter(name, _BY_NAME, default=None, annotation=t) for name, t in more.items()]
    return lambda described: _signed(command, described, [*front, *_parameters(command)])


def launch(
    cells: "Cells",
    home: Path | None,
    registry: str | None,
    mirrors: list[str] | None = None,
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Prepare this process, and carry the runs out."""
    from a5ctl.process import prepare_process

    prepare_process()
    from a5ctl import launch as runs

    provenance = cells.provenance
    runs.launch(cells, home, registry, mirrors or (), provenance, quiet=quiet, as_json=as_json)


def _parameters_of(settings: Sequence[Setting]) -> list[Parameter]:
    return [setting.parameter for setting in settings]


def _parameters(command: Command) -> list[Parameter]:
    """What a command takes from the command line."""
    return [
        parameter.replace(kind=_BY_NAME)
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "given" and parameter.kind is not Parameter.VAR_KEYWORD
    ]


def _signed(made: Command, described: Command, parameters: Sequence[Parameter]) -> Command:
    """A command under another's name and help; of parameters twice there the first one counts."""
    each = {parameter.name: parameter for parameter in reversed(parameters)}
    ordered = sorted(dict.fromkeys(p.name for p in parameters), key=_LAST.__contains__)
    made.__name__, made.__doc__ = described.__name__, described.__doc__
    made.__module__ = described.__module__
    signature = inspect.Signature([each[name] for name in ordered])
    made.__signature__ = signature  # type: ignore[attr-defined]
    made.__annotations__ = {name: each[name].annotation for name in ordered}
    return made
