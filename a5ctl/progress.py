"""What a person sees while a command works: how far it is, the time left, and what Ctrl-C does.

It is drawn on standard error, and only where somebody watches: on a terminal, without `--quiet`
and `--json`. Runs and probes have a display of their own (`a5ctl/live.py`).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TypeVar

Item = TypeVar("Item")
Report = Callable[[int, int], None]
"""Takes how much is done, and of how much."""


class Stop(StrEnum):
    """What stopping the work leaves behind."""

    NOTHING = "Ctrl-C leaves nothing behind"
    KEEPS = "Ctrl-C keeps what is done"
    UNCHANGED = "Ctrl-C changes nothing"


@contextmanager
def progress(
    what: str, unit: str = "", *, stop: Stop, quiet: bool = False, as_json: bool = False
) -> Iterator[Report]:
    """Show work in progress; without a report the time that it has taken.

    Args:
        what: What is done, such as `copying the registry`.
        unit: What is counted, in the plural.
        stop: What stopping it leaves behind.
        quiet: Value of `--quiet`.
        as_json: Value of `--json`.
    """
    from a5ctl.console import err, is_interactive, printable

    if quiet or as_json or not is_interactive():
        yield _nowhere
        return
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=False),
        TextColumn(f"[dim]{stop}[/dim]"),
    )
    bars = Progress(
        *columns,
        console=err(),
        transient=True,
        refresh_per_second=4,
        redirect_stdout=False,  # else results would be sent to standard error
        redirect_stderr=False,
    )
    with bars:
        task = bars.add_task(escape(printable(what)), total=None, count="")

        def report(done: int, total: int) -> None:
            count = f"{done:,}/{total:,} {unit}".strip()
            bars.update(task, completed=done, total=total, count=count)

        yield report


def tracked(items: Iterable[Item], total: int, report: Report) -> Iterator[Item]:
    """The same items, each reported when the next one is asked for."""
    report(0, total)
    for done, item in enumerate(items, start=1):
        yield item
        report(done, total)


def _nowhere(done: int, total: int) -> None:
    """Nobody watches."""
