"""`a5ctl tag`: put tags on runs, and take them off."""

from typing import Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

# a change such as -draft looks like options to the parser, -h among them
CONTEXT = {"ignore_unknown_options": True, "help_option_names": ["--help"]}


def tag(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|+TAG|-TAG",
            help="Runs (id, unique prefix, or name), and tags to put on (+) or take off (-).",
        ),
    ],
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Put tags on runs and take them off; without changes, show them.

    Filters find them: a5ctl ls --where "tags has good". They are kept in the run folders too.

    Examples:

        a5ctl tag sft-256-k3f9 +good -draft

        a5ctl tag sft-256-k3f9 sft-512-m2x7 "+for the paper"
    """
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.relabel import change_runs
    from core.errors import UserError
    from core.registry.labels import add_and_drop, checked_tag

    options = [argument for argument in arguments if argument.startswith("--")]
    if options:
        raise UserError(f"{options[0]!r} is no option of a5ctl tag; its help shows them: --help")
    names = [argument for argument in arguments if not argument.startswith(("+", "-"))]
    add = tuple(checked_tag(text[1:]) for text in arguments if text.startswith("+"))
    drop = tuple(checked_tag(text[1:]) for text in arguments if text.startswith("-"))
    if not names:
        raise UserError("no run is named; write for example: a5ctl tag sft-256-k3f9 +good")
    if both := sorted(set(add) & set(drop)):
        raise UserError(f"{both[0]!r} is put on and taken off at once; give it once")
    workspace, store = open_workspace_and_registry(home, registry)
    change_runs(
        workspace,
        store,
        names,
        (lambda labels: add_and_drop(labels, add, drop)) if add or drop else None,
        lambda labels: f"tags: {', '.join(labels.tags) or 'none'}",
        json_=json_,
    )
