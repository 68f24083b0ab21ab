"""Starts the processes of one run, passes signals on, and notices when one of them dies.

Every process gets the environment that torchrun gives. The launcher itself never takes part in
training, so nothing that hangs there can keep it from ending the run.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from trainers.distributed.job import read_report

# seconds after a loss until the main process, should it not have ended by itself, is asked to
_ASK_AFTER_S = 5.0
# ... and until it is killed, as one is that waits inside a GPU's queue for a message
_KILL_AFTER_S = 25.0
# seconds that the others have to leave once the main process has ended
_LEAVE_WITHIN_S = 5.0
_POLL_S = 0.05
_IMPATIENT = 3


@dataclass(frozen=True, slots=True)
class Ending:
    """How the processes of a run ended.

    Attributes:
        report: What the main process said at its end; empty when it could not say anything.
        problem: Which process was lost, as a sentence; empty when none was.
        stopped: The last signal that was passed on to the main process.
    """

    report: dict[str, Any]
    problem: str
    stopped: int | None


@dataclass(slots=True)
class _Worker:
    rank: int
    process: subprocess.Popen[bytes]
    reports: int

    def ended(self) -> bool:
        return self.process.poll() is not None

    def tell(self, line: str) -> None:
        """Write into its lifeline, unless it has gone."""
        if self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.write(line.encode() + b"\n")
                self.process.stdin.flush()

    def kill(self) -> None:
        """End it and whatever it has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(slots=True)
class _Watch:
    workers: list[_Worker]
    problem: str = ""
    lost_at: float = 0.0
    signals: list[int] = field(default_factory=list)
    _asked: bool = False

    def until_the_end(self) -> None:
        """Return when the main process has ended, by itself or because another was lost."""
        main = self.workers[0]
        while not main.ended():
            if len(self.signals) >= _IMPATIENT:
                main.kill()
            elif not self.problem:
                self._look_around()
            else:
                self._press(time.monotonic() - self.lost_at)
            time.sleep(_POLL_S)

    def _look_around(self) -> None:
        for worker in self.workers[1:]:
            failed = worker.ended() and worker.process.returncode != 0
            # once the main process has ended the others lose their connection and fail as well
            if failed and not self.workers[0].ended():
                self.problem = self.describe(worker)
                self.lost_at = time.monotonic()
                for other in self.workers:
                    other.tell(self.problem)
                return

    def _press(self, seconds: float) -> None:
        main = self.workers[0]
        if seconds > _KILL_AFTER_S:
            main.kill()
        elif seconds > _ASK_AFTER_S and not self._asked:
            self._asked = True
            main.process.send_signal(signal.SIGTERM)

    def describe(self, worker: _Worker) -> str:
        """How a process ended, as the beginning of a sentence."""
        name = f"process {worker.rank + 1} of {len(self.workers)}"
        code = worker.process.returncode
        if code < 0:
            hint = " (as the system does when memory runs out)" if -code == signal.SIGKILL else ""
            return f"{name} was killed by {signal.Signals(-code).name}{hint}"
        found = read_report(worker.reports)
        reason = f": {found['error']}" if "error" in found else f" with code {code}"
        return f"{name} ended{reason}"


def run_processes(
    command: Sequence[str],
    job: bytes,
    environments: Sequence[Mapping[str, str]],
    log_folder: Path,
) -> Ending:
    """Run one process per environment to their end; none outlives this call.

    Args:
        command: Starts a process; the number of the pipe it reports to is appended.
        job: What each reads from its standard input.
        environments: One per process; the first is the main one, which has the terminal.
        log_folder: What the others print goes into `process-<n>.log` there.
    """
    watch = _Watch([])
    with _signals_passed_on(watch):
        try:
            for rank, environment in enumerate(environments):
                log = None if rank == 0 else log_folder / f"process-{rank + 1}.log"
                watch.workers.append(_start(rank, command, environment, log))
            for worker in watch.workers:
                _hand_over(worker, job)
            watch.until_the_end()
            _let_leave(watch.workers[1:])
        finally:
            for worker in watch.workers:
                worker.kill()
    for empty in log_folder.glob("process-*.log"):
        if empty.stat().st_size == 0:
            empty.unlink()
    return _ending(watch)


def _start(
    rank: int, command: Sequence[str], environment: Mapping[str, str], log: Path | None
) -> _Worker:
    reads, writes = os.pipe()
    sink = None if log is None else log.open("wb")
    try:
        process = subprocess.Popen(
            [*command, str(writes)],
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=sink,
            env=dict(environment),
            pass_fds=(writes,),
            # a Ctrl-C in the terminal reaches the launcher alone, which passes it on once
            start_new_session=True,
        )
    finally:
        os.close(writes)
        if sink is not None:
            sink.close()
    return _Worker(rank, process, reads)


def _hand_over(worker: _Worker, job: bytes) -> None:
    # one that has died already is noticed by the watch, with its exit code
    if worker.process.stdin is not None:
        with suppress(BrokenPipeError):
            worker.process.stdin.write(job)
            worker.process.stdin.flush()


def _let_leave(others: Sequence[_Worker]) -> None:
    deadline = time.monotonic() + _LEAVE_WITHIN_S
    while not all(worker.ended() for worker in others) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _ending(watch: _Watch) -> Ending:
    main = watch.workers[0]
    found = read_report(main.reports)
    problem = watch.problem
    if "error" in found:
        problem = problem or f"process 1 of {len(watch.workers)} ended: {found['error']}"
    elif not found:
        problem = problem or watch.describe(main)
    for worker in watch.workers:
        os.close(worker.reports)
        if worker.process.stdin is not None:
            with suppress(OSError):
                worker.process.stdin.close()
    return Ending(found, problem, watch.signals[-1] if watch.signals else None)


@contextmanager
def _signals_passed_on(watch: _Watch) -> Iterator[None]:
    """Give SIGINT and SIGTERM to the main process, which decides for all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pass_on(signum: int, frame: FrameType | None) -> None:
        watch.signals.append(signum)
        if watch.workers and not watch.workers[0].ended():
            watch.workers[0].process.send_signal(signum)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def environments(size: int, threads: int, devices: Sequence[str]) -> list[dict[str, str]]:
    """The environment of every process: torchrun's variables, one GPU, its share of the cores.

    Args:
        size: Processes.
        threads: CPU threads of each.
        devices: One GPU per process, as `CUDA_VISIBLE_DEVICES` names it; empty on the CPU.
    """
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    common = {
        "GLOO_SOCKET_IFNAME": loopback,
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        **os.environ,
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "OMP_NUM_THREADS": str(threads),
    }
    found = []
    for rank in range(size):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        if devices:
            own["CUDA_VISIBLE_DEVICES"] = devices[rank]
        found.append(common | own)
    return found
