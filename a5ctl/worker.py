"""One of several processes that train a run together; started by the program, not by people."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from a5ctl.mirroring import MirrorPlan
    from trainers.observer import Observer

# -P and this keep the folder that the person stands in from shadowing modules of the program
_CODE = (
    "import sys; root = sys.argv.pop(1); root in sys.path or sys.path.append(root); "
    "from a5ctl.worker import main; main()"
)


def worker_command(
    mirrors: "MirrorPlan | None" = None, *, quiet: bool, as_json: bool
) -> Sequence[str]:
    """Start a process with this; `trainers.distributed` appends what it needs.

    Args:
        mirrors: Where the run is sent as well.
        quiet: Show nothing while the run works.
        as_json: Standard output is kept for JSON.
    """
    root = str(Path(__file__).parents[1])
    plan = "" if mirrors is None else mirrors.to_text()
    shown = ("quiet" if quiet else "loud", "json" if as_json else "text", plan)
    return (sys.executable, "-P", "-c", _CODE, root, *shown)


def main() -> None:
    """Do the job on standard input; the arguments are those of `worker_command` and a pipe."""
    from a5ctl.process import prepare_process

    quiet, as_json, reports = sys.argv[1] == "quiet", sys.argv[2] == "json", int(sys.argv[4])
    mirrors = sys.argv[3]
    prepare_process()
    from trainers.distributed.worker import work

    @contextmanager
    def display() -> "Iterator[Observer]":
        from a5ctl.console import err, out
        from a5ctl.mirroring import MirrorPlan, display_for

        plan = MirrorPlan.from_text(mirrors) if mirrors else None
        with display_for(err() if as_json else out(), plan, quiet=quiet) as shown:
            yield shown

    sys.exit(work(reports, display))
