"""`a5ctl archive`: put runs out of sight without deleting anything."""

from dataclasses import replace
from typing import Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption


def archive(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN", help="Ids, unique prefixes, or names of runs.")
    ],
    undo: Annotated[bool, typer.Option("--undo", help="Take them out of the archive.")] = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Move runs into the archive: ls and compare leave them out unless --archived is given.

    A run that is named is found as before, in the archive too. Nothing is deleted.

    Examples:

        a5ctl archive sft-256-k3f9 sft-256-m2x7

        a5ctl archive --undo sft-256-k3f9
    """
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.relabel import change_runs

    workspace, store = open_workspace_and_registry(home, registry)
    change_runs(
        workspace,
        store,
        runs,
        lambda labels: replace(labels, archived=not undo),
        lambda labels: "in the archive" if labels.archived else "not in the archive",
        json_=json_,
    )
