"""What a process is in the middle of, told to another one that may kill it at any moment.

    python benchmarks/kill_phases.py MAP ARGUMENTS OF a5ctl...

runs the program with a few of its functions wrapped, so that a small file in shared memory says
which of them is under way, how often each has begun, and how long each took.
"""

import functools
import mmap
import os
import sys
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


class Phase(StrEnum):
    """Work that a kill may hit."""

    JOURNAL = "writing the journal"
    DATABASE = "storing in the database"
    CHECKPOINT = "writing or removing checkpoints"
    EVALUATION = "evaluating"
    MERGE = "merging the journal"
    MIGRATION = "migrating the database"
    TRAINING = "training"


_PHASES = tuple(Phase)
_CELLS = 3


class PhaseMap:
    """Depth, beginnings and seconds of every phase, in a file that two processes map.

    Args:
        path: The file; made when missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        size = 8 * _CELLS * len(_PHASES)
        with path.open("a+b") as file:
            file.truncate(size)
            self._cells = memoryview(mmap.mmap(file.fileno(), size)).cast("d")
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget the last process."""
        for number in range(len(self._cells)):
            self._cells[number] = 0.0

    def active(self) -> set[Phase]:
        """What is under way, or was when the process was killed; training if nothing else is."""
        found = {phase for phase in _PHASES if self._cells[self._place(phase)] > 0}
        return found - {Phase.TRAINING} or found

    def begun(self, phase: Phase) -> int:
        """How often it has begun."""
        return int(self._cells[self._place(phase) + 1])

    def mean_seconds(self, phase: Phase) -> float:
        """How long it took on average; 0 where it never ended."""
        place = self._place(phase)
        ended = self._cells[place + 1] - self._cells[place]
        return self._cells[place + 2] / ended if ended else 0.0

    def wrapped(self, phase: Phase, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, telling when it begins and ends."""
        place = self._place(phase)

        @functools.wraps(work)
        def told(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            with self._lock:
                self._cells[place] += 1
                self._cells[place + 1] += 1
            try:
                return work(*arguments, **named)
            finally:
                with self._lock:
                    self._cells[place] -= 1
                    self._cells[place + 2] += time.perf_counter() - started

        return told

    def _place(self, phase: Phase) -> int:
        return _CELLS * _PHASES.index(phase)


def watch(phases: PhaseMap) -> None:
    """Wrap what is to be hit, in this process."""
    from core.registry import merge, migrate
    from core.registry.journal import Journal
    from core.registry.writer import Writer
    from trainers.loop import Loop

    for owner, name, phase in (
        (Journal, "append", Phase.JOURNAL),
        (Journal, "sync", Phase.JOURNAL),
        (Writer, "_store_batch", Phase.DATABASE),
        (Loop, "_checkpoint", Phase.CHECKPOINT),
        (Loop, "_evaluate", Phase.EVALUATION),
        (Loop, "run", Phase.TRAINING),
        (merge, "merge_lines", Phase.MERGE),
        (migrate, "_upgrade_file", Phase.MIGRATION),
    ):
        setattr(owner, name, phases.wrapped(phase, getattr(owner, name)))


def run_program(map_path: Path, arguments: list[str]) -> None:
    """Be `a5ctl` with these arguments, watched."""
    watch(PhaseMap(map_path))
    sys.argv = ["a5ctl", *arguments]
    from a5ctl.__main__ import main

    main()


def fork_program(map_path: Path, arguments: list[str], home: Path, log: Path) -> int:
    """The same in a child that has every import behind it; returns its process id.

    Call it from a process without threads and without open databases.
    """
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.environ["A5CTL_HOME"] = str(home)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(output, stream)
        run_program(map_path, arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    run_program(Path(sys.argv[1]), sys.argv[2:])
