"""Ctrl-C, SIGTERM, a hang-up: finish the update under way, save, then stop; twice means now."""

import math
import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from core.insistence import Insistence, undivided

_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)


class Interrupted(KeyboardInterrupt):
    """Somebody asked the run to stop.

    Attributes:
        signum: The signal that asked.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number, as shells report it."""
        return 128 + self.signum


class StepsDoneError(Exception):
    """A run has made the updates that were asked of it; more of them would follow."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped behind step {step}, as asked")


class Interrupts:
    """Signal handling of one run.

    Inside `deferred()` a first signal only sets `requested`; outside, and on a second signal,
    `Interrupted` is raised where the program stands. Up to a third one, imports and writes to the
    registry come to their end first, and what Python drops is raised again.

    Args:
        once_within: Seconds in which further signals count as the same one: where one that was
            sent to all processes is passed on as well.
    """

    def __init__(self, once_within: float = 0.0) -> None:
        self._signum: int | None = None
        self._deferring = False
        self._count = 0
        self._once_within = once_within
        self._last = -math.inf
        self._insistence = Insistence()

    @property
    def requested(self) -> bool:
        """A signal came while it was deferred."""
        return self._signum is not None

    @contextmanager
    def installed(self) -> Iterator["Interrupts"]:
        """Handle SIGINT, SIGTERM and SIGHUP inside the block; a no-op off the main thread.

        A hang-up that somebody has told the process not to hear (`nohup`) stays unheard.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        signals = [signal.SIGINT, signal.SIGTERM]
        if _HANGUP is not None and signal.getsignal(_HANGUP) is signal.SIG_DFL:
            signals.append(_HANGUP)
        before = {number: signal.signal(number, self._handle) for number in signals}
        try:
            with self._insistence.installed():
                yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Hold a first signal back until the next step boundary."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def raise_now(self) -> None:
        """Raise what was asked for meanwhile."""
        if self._signum is not None:
            raise Interrupted(self._signum)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if signum == _HANGUP:
            _leave_terminal()
        if not self._insistence.is_repeated():
            now, before = time.monotonic(), self._last
            if now - before < self._once_within:
                return
            self._last = now
            self._signum = signum
            self._count += 1
        if self._deferring and self._count <= 1:
            return
        if undivided(frame) and self._count <= 2:
            self._insistence.again(signum)
            return
        raise Interrupted(signum)


def _leave_terminal() -> None:
    """What is printed to a terminal that has gone would fail, and the run with it."""
    for stream in (1, 2):
        if _is_terminal(stream):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream)
            os.close(nowhere)


def _is_terminal(stream: int) -> bool:
    try:
        return stat.S_ISCHR(os.fstat(stream).st_mode)
    except OSError:  # it was closed from the start
        return False
