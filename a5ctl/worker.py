"""One of several processes that train a run together; started by the program, not by people."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainers.observer import Observer

# -P and this keep the folder that the person stands in from shadowing modules of the program
_CODE = (
    "import sys; root = sys.argv.pop(1); root in sys.path or sys.path.append(root); "
    "from a5ctl.worker import main; main()"
)


def worker_command(*, quiet: bool, as_json: bool) -> Sequence[str]:
    """Start a process with this; `trainers.distributed` appends what it needs.

    Args:
        quiet: Show nothing while the run works.
        as_json: Standard output is kept for JSON.
    """
    root = str(Path(__file__).parents[1])
    shown = ("quiet" if quiet else "loud", "json" if as_json else "text")
    return (sys.executable, "-P", "-c", _CODE, root, *shown)


def main() -> None:
    """Do the job on standard input; the arguments are those of `worker_command` and a pipe."""
    from a5ctl.process import prepare_process

    quiet, as_json, reports = sys.argv[1] == "quiet", sys.argv[2] == "json", int(sys.argv[3])
    prepare_process()
    from trainers.distributed.worker import work

    @contextmanager
    def display() -> "Iterator[Observer]":
        from a5ctl.console import err, out
        from a5ctl.live import RunDisplay

        with RunDisplay(err() if as_json else out(), quiet=quiet) as shown:
            yield shown

    sys.exit(work(reports, display))
