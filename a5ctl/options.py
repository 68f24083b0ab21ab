"""Options that every command has, and how a command gets at the workspace and its registry."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from core.registry.store import Registry
    from core.responses.names import FailureClass, GraderName
    from core.workspace import Workspace

_PANEL = "Where"
Choice = TypeVar("Choice", bound=StrEnum)

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="A5CTL_HOME",
        help="Folder with registry.db and runs/; the current folder when not given.",
        rich_help_panel=_PANEL,
    ),
]
RegistryOption = Annotated[
    str | None,
    typer.Option(
        "--registry",
        envvar="A5CTL_REGISTRY",
        help="Another registry: an SQLAlchemy URL, or the path of an SQLite file.",
        rich_help_panel=_PANEL,
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", envvar="A5CTL_QUIET", help="Print only the result."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]


def open_workspace_and_registry(
    home: Path | None, registry: str | None, *, create: bool = False
) -> "tuple[Workspace, Registry]":
    """Open both; what dead runs left in their journals is merged on the way.

    Args:
        home: Value of `--home`.
        registry: Value of `--registry`.
        create: Make what is missing. Without it a missing registry reads as an empty one.

    Raises:
        UserError: workspace or registry cannot be used, or the registry is gone while run folders
            are there.
    """
    from core.registry.store import open_registry
    from core.workspace import open_workspace

    workspace = open_workspace(home, create=create)
    store = open_registry(workspace.registry_url(registry), create=create)
    if not store.database.exists():
        _refuse_lost(workspace, store.label)
    store.merge_left_behind(workspace)
    return workspace, store


def _refuse_lost(workspace: "Workspace", label: str) -> None:
    from core.errors import UserError
    from core.registry.journal import JOURNAL_NAME

    if next(workspace.runs_dir.glob(f"[!.]*/{JOURNAL_NAME}"), None) is not None:
        raise UserError(
            f"there is no registry {label}, but {workspace.runs_dir} holds recorded runs; bring "
            "them back with: a5ctl registry repair"
        )


def meant_instead(registry: "Registry", *, kind: str | None, group: str | None) -> str:
    """Groups and kinds of the registry that are near to ones it does not have; empty if none is."""
    from core.nearest import did_you_mean

    if kind is None and group is None:
        return ""
    there = registry.names_in_use()
    for name, known in ((group, there.groups), (kind, there.kinds)):
        if name is not None and name not in known:
            return did_you_mean(name, known)
    return ""


def parse_grader(name: str | None) -> "GraderName | None":
    """The grader of `--grader`.

    Raises:
        UserError: there is no such grader.
    """
    from core.responses.names import GraderName

    return _one_of(GraderName, name, "grader")


def parse_failure_class(name: str | None) -> "FailureClass | None":
    """The failure class of `--class`.

    Raises:
        UserError: there is no such class.
    """
    from core.responses.names import FailureClass

    return _one_of(FailureClass, name, "failure class")


def _one_of(known: type[Choice], name: str | None, what: str) -> Choice | None:
    from core.errors import UserError
    from core.nearest import did_you_mean

    if name is None:
        return None
    if name not in set(known):
        near = did_you_mean(name, known)
        raise UserError(f"{what} {name!r} is unknown{near or ';'} choose {', '.join(known)}")
    return known(name)
