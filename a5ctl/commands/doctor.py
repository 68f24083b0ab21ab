"""`a5ctl doctor`: what this machine has, what a run would use, and what would fail."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

if TYPE_CHECKING:
    from rich.console import Console

    from a5ctl.doctor.check import Check

_MARKS = {"ok": ("+", "green"), "warn": ("!", "yellow"), "fail": ("x", "bold red")}
_NAME_WIDTH = 14


def doctor(
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Mend what can be mended safely: make the workspace, make a lost or damaged "
            "registry anew from the journals, close runs whose process is gone.",
        ),
    ] = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Look at software, engines, machine and workspace before a run does.

    Below what is wrong stands what mends it. Exits with 1 when something would fail.

    Examples:

        a5ctl doctor

        a5ctl doctor --fix

        a5ctl doctor --json
    """
    from a5ctl.console import out, print_json
    from a5ctl.doctor.check import Status
    from a5ctl.doctor.checks import all_checks

    checks = all_checks(home, registry)
    mended = _mend(checks, home, registry) if fix else []
    if mended:
        checks = all_checks(home, registry)
    failed = [check for check in checks if check.status is Status.FAIL]
    if json_:
        found = [_as_json(check) for check in checks]
        print_json({"ok": not failed, "mended": mended, "checks": found})
    else:
        show(checks, out(), mended)
    if failed:
        raise typer.Exit(1)


def _mend(checks: "Sequence[Check]", home: Path | None, registry: str | None) -> list[str]:
    """What was done about the findings that can be mended; what could not be is told as well."""
    from a5ctl.doctor.registry import mend
    from core.errors import UserError

    done = []
    for check in checks:
        if check.mendable:
            try:
                done.append(f"{check.name}: {mend(check, home, registry)}")
            except UserError as error:
                done.append(f"{check.name}: not mended, {error}")
    return done


def show(checks: Sequence["Check"], console: "Console", mended: Sequence[str] = ()) -> None:
    """Print the checks by group, each with its fix below it, what was mended, and the verdict."""
    from rich.table import Table

    from a5ctl.console import plain

    for group, members in groupby(checks, key=lambda check: check.group):
        console.print(plain(group, style="bold"))
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=1)
        table.add_column(width=_NAME_WIDTH, no_wrap=True)
        table.add_column(ratio=1, overflow="fold")
        for check in members:
            mark, style = _MARKS[check.status.value]
            table.add_row(plain(mark, style), plain(check.name, "dim"), plain(check.value))
            if check.fix:
                table.add_row("", "", plain(check.fix, "cyan"))
        console.print(table)
    console.print()
    for text in mended:
        console.print(plain(f"mended: {text}", "cyan"), soft_wrap=True)
    console.print(plain(*_verdict(checks)))
    if not mended and any(check.mendable and check.status.value != "ok" for check in checks):
        console.print(plain("a5ctl doctor --fix mends some of it", "dim"))


def _verdict(checks: Sequence["Check"]) -> tuple[str, str]:
    failed = [check.name for check in checks if check.status.value == "fail"]
    if not failed:
        return "Ready: a5ctl run sft --size 256 would work here.", "bold green"
    return f"Would fail: {', '.join(failed)}.", "bold red"


def _as_json(check: "Check") -> dict[str, object]:
    return {
        "group": check.group,
        "name": check.name,
        "status": check.status.value,
        "value": check.value,
        "fix": check.fix,
        "mendable": check.mendable,
    }
