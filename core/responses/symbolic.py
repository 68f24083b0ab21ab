"""Symbolic comparison with a time limit that holds: in a worker process that can be killed.

The worker is a fresh interpreter, started at the first comparison that needs one and reused after
it; it shares nothing with this process, so threads of torch or vLLM do not matter, and any thread
may ask. A comparison over its limit costs the worker its life and the answer counts as wrong.
"""

import atexit
import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

START_LIMIT_SECONDS = 120.0
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


class Comparison(StrEnum):
    """What came of a symbolic comparison."""

    EQUAL = "equal"
    DIFFERENT = "different"
    TIMED_OUT = "timed_out"


class Question(StrEnum):
    """What the worker can be asked about an answer and a truth."""

    COURSE = "course"
    """Does the course's grader call them equal?"""
    VALUE = "value"
    """Does math-verify call them equal?"""


class SymbolicWorkerError(RuntimeError):
    """The worker process cannot be started."""


class SymbolicWorker:
    """One worker process and the pipe to it; not thread-safe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            # -P keeps a file named sympy.py in the user's folder from being imported.
            [sys.executable, "-P", "-m", "core.responses.symbolic_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            env=_environment(),
            # Ctrl-C in the terminal is for the parent, which closes the pipe when it ends.
            start_new_session=True,
        )
        self._prepared: set[Question] = set()
        self._lines: queue.Queue[str | None] = queue.Queue()
        assert self._process.stdout is not None
        threading.Thread(
            target=_read_lines,
            args=(self._process.stdout, self._lines),
            name="symbolic-worker-reader",
            daemon=True,
        ).start()
        if self._receive(START_LIMIT_SECONDS) is None:
            self.kill()
            raise SymbolicWorkerError("the worker process for symbolic comparison did not start")

    def prepare(self, question: Question) -> None:
        """Let it load what a question needs, which would not fit into a comparison's limit.

        Raises:
            SymbolicWorkerError: it ended, or did not get ready.
        """
        if question in self._prepared:
            return
        if self._exchange({"prepare": question}, START_LIMIT_SECONDS) is None:
            raise SymbolicWorkerError(f"the worker process cannot load what {question} needs")
        self._prepared.add(question)

    def compare(
        self, given: str, truth: str, time_limit_s: float, question: Question = Question.COURSE
    ) -> Comparison:
        """Compare two answers; after `TIMED_OUT` the worker is dead."""
        self.prepare(question)
        reply = self._exchange({"ask": question, "given": given, "truth": truth}, time_limit_s)
        if reply is None:
            return Comparison.TIMED_OUT
        return Comparison.EQUAL if reply["equal"] else Comparison.DIFFERENT

    @property
    def alive(self) -> bool:
        """The process runs and can be asked."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process at once; harmless when it has ended."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            _close_quietly(pipe)

    def _exchange(self, request: dict[str, str], limit: float) -> dict[str, Any] | None:
        reply = None
        try:
            reply = self._ask(json.dumps({**request, "limit": limit}), limit)
        finally:
            # A reply that nobody waited for (time-out, Ctrl-C) would answer the next request.
            if reply is None:
                self.kill()
        return reply

    def _ask(self, request: str, seconds: float) -> dict[str, Any] | None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        except OSError:
            return None  # it died between two requests
        return self._receive(seconds)

    def _receive(self, seconds: float) -> dict[str, Any] | None:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            return None
        reply: dict[str, Any] | None = json.loads(line) if line is not None else None
        return reply


class SymbolicComparer:
    """Compares through a worker that is started when needed and replaced when it died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: SymbolicWorker | None = None

    def prepare(self, question: Question) -> None:
        """Have a worker that is ready for a question.

        Raises:
            SymbolicWorkerError: no worker can be started.
        """
        with self._lock:
            self._ready(question)

    def compare(
        self, given: str, truth: str, time_limit_s: float, question: Question = Question.COURSE
    ) -> Comparison:
        """Compare two answers within `time_limit_s` seconds; starting a worker is not counted.

        Raises:
            SymbolicWorkerError: no worker can be started.
        """
        with self._lock:
            return self._ready(question).compare(given, truth, time_limit_s, question)

    def _ready(self, question: Question) -> SymbolicWorker:
        if self._worker is None or not self._worker.alive:
            self._worker = SymbolicWorker()
        self._worker.prepare(question)
        return self._worker

    def close(self) -> None:
        """End the worker; the next comparison starts another."""
        with self._lock:
            if self._worker is not None:
                self._worker.kill()
                self._worker = None


_shared = SymbolicComparer()
atexit.register(_shared.close)


def prepare_worker(question: Question) -> None:
    """Have the process-wide worker ready, so that a comparison takes no more than its own time."""
    _shared.prepare(question)


def compare_symbolically(
    given: str, truth: str, time_limit_s: float, question: Question = Question.COURSE
) -> Comparison:
    """Compare two answers in the process-wide worker. Callable from any thread."""
    return _shared.compare(given, truth, time_limit_s, question)


def _forget_after_fork() -> None:
    """A forked child must neither share the pipe with its parent nor kill the parent's worker."""
    global _shared
    atexit.unregister(_shared.close)
    _shared = SymbolicComparer()
    atexit.register(_shared.close)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def _environment() -> dict[str, str]:
    inherited = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(part for part in (str(_PACKAGE_ROOT), inherited) if part)
    # One hash seed, so that no order of sets can tell one worker's answer from another's.
    own = {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "PYTHONHASHSEED": "0"}
    return {**os.environ, **own}


def _read_lines(pipe: IO[str], lines: "queue.Queue[str | None]") -> None:
    # A pipe that is closed under the reader ends like one that runs dry.
    with contextlib.suppress(OSError, ValueError):
        for line in pipe:
            lines.put(line)
    lines.put(None)


def _close_quietly(pipe: IO[str] | None) -> None:
    if pipe is not None:
        # Unflushed input for a dead process is of no use to anyone.
        with contextlib.suppress(OSError):
            pipe.close()
