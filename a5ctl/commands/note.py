"""`a5ctl note`: write down what a run was for, or what came of it."""

from dataclasses import replace
from typing import Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption


def note(
    run: Annotated[str, typer.Argument(help="Id, unique prefix, or name of the run.")],
    text: Annotated[
        str | None, typer.Argument(help="The note; it replaces the old one, and '' removes it.")
    ] = None,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Set the note of a run; without a text, show it.

    Filters find it: a5ctl ls --where "note ~ diverged". It is kept in the run folder too.

    Examples:

        a5ctl note sft-256-k3f9 "diverged at step 40, see the learning rate"

        a5ctl note sft-256-k3f9
    """
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.relabel import change_runs
    from core.registry.labels import checked_note

    wanted = None if text is None else checked_note(text)
    workspace, store = open_workspace_and_registry(home, registry)
    change_runs(
        workspace,
        store,
        [run],
        None if wanted is None else lambda labels: replace(labels, note=wanted),
        lambda labels: f"note: {labels.note or 'none'}",
        json_=json_,
    )
