"""`a5ctl ui`: the registry in a full-screen terminal, live."""

import os
import sys
from typing import TYPE_CHECKING

from a5ctl.options import HomeOption, RegistryOption

if TYPE_CHECKING:
    from a5ctl.tui.start_command import Forms

_SWITCH_S = 0.001


def ui(
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Look through runs, curves and responses in a full-screen terminal, while they grow.

    Keys do everything, and ? shows them; ctrl+p finds an action by its name (docs/ui.md).

    Examples:

        a5ctl ui

        a5ctl ui --home path/to/workspace
    """
    from core.errors import UserError

    if not _is_terminal():
        raise UserError(
            "a5ctl ui needs a terminal to draw on; a5ctl ls and a5ctl show print the same to pipes"
        )
    from a5ctl.tui.app import HouseApp
    from a5ctl.tui.desk import Desk
    from a5ctl.tui.hangup import leave_with_terminal
    from core.registry.store import open_registry
    from core.workspace import open_workspace

    workspace = open_workspace(home, create=False)
    store = open_registry(workspace.registry_url(registry), create=False)
    desk = Desk(workspace, store, registry)
    # a thread that reads a hundred thousand rows must not keep a key waiting for its turn
    sys.setswitchinterval(_SWITCH_S)
    leave_with_terminal(sys.stdout.fileno())
    try:
        HouseApp(desk, forms()).run()
    finally:
        desk.close()


def forms() -> "Forms":
    """What the form that starts a run asks for: parameters of the commands that start one."""
    from a5ctl.commands import run, run_dpo, run_ei, run_grpo
    from a5ctl.tui.start_command import forms_of

    return forms_of(
        {
            "sft": run.sft,
            "ei": run_ei.ei,
            "grpo": run_grpo.grpo,
            "dpo": run_dpo.dpo,
            "eval": run.evaluate,
        }
    )


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
