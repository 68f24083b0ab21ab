"""`a5ctl doctor`: what this machine has, what a run would use, and what would fail."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

if TYPE_CHECKING:
    from rich.console import Console

    from a5ctl.doctor_checks import Check

_MARKS = {"ok": ("+", "green"), "warn": ("!", "yellow"), "fail": ("x", "bold red")}
_NAME_WIDTH = 14


def doctor(
    json_: JsonOption = False, home: HomeOption = None, registry: RegistryOption = None
) -> None:
    """Look at software, engines, machine and workspace before a run does.

    Exits with 1 when something would fail.

    Examples:

        a5ctl doctor --json
    """
    from a5ctl.console import out, print_json
    from a5ctl.doctor_checks import Status, all_checks

    checks = all_checks(home, registry)
    failed = [check for check in checks if check.status is Status.FAIL]
    if json_:
        print_json({"ok": not failed, "checks": [_as_json(check) for check in checks]})
    else:
        show(checks, out())
    if failed:
        raise typer.Exit(1)


def show(checks: Sequence["Check"], console: "Console") -> None:
    """Print the checks by group, each with its fix below it, and the verdict at the end."""
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
    console.print(plain(*_verdict(checks)))


def _verdict(checks: Sequence["Check"]) -> tuple[str, str]:
    failed = [check.name for check in checks if check.status.value == "fail"]
    if not failed:
        return "Ready: a5ctl run sft --size 256 would work here.", "bold green"
    return f"Would fail: {', '.join(failed)}.", "bold red"


def _as_json(check: "Check") -> dict[str, str]:
    return {
        "group": check.group,
        "name": check.name,
        "status": check.status.value,
        "value": check.value,
        "fix": check.fix,
    }
