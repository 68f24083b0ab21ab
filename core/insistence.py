"""Signals that come at a bad moment are sent again, until the program can hear them.

A signal handler runs between any two instructions of the main thread. What it raises inside
`__del__` or a weak reference's callback is printed and dropped; inside an import it may meet C++
that ends the process; where a lock was just taken or a transaction begun, nobody gives it back. So
a stop waits for the end of some calls, and one that was dropped comes again a moment later.
"""

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_PAUSE_S = 0.02
# imports, and short calls that hold a lock or a transaction others wait for
_UNDIVIDED = ("importlib._bootstrap", "_frozen_importlib", "logging", "core.registry")
# work of minutes, made of such calls, which cleans up after itself or can be done again
_LONG = tuple(
    f"core.registry.{name}"
    for name in ("backup", "check", "collect", "garbage", "merge", "rebuild")
)


class Insistence:
    """Sends a signal to the main thread again and tells that signal from a new one."""

    def __init__(self) -> None:
        self._waiting = False
        self._sent = False

    def again(self, signum: int) -> None:
        """Send the signal again in a moment, unless one is on its way."""
        if not self._waiting:
            self._waiting = True
            # threading.Thread takes locks, which the code under this handler may hold
            _thread.start_new_thread(self._send, (signum,))

    def is_repeated(self) -> bool:
        """The signal at hand is the one that was sent again."""
        sent, self._sent = self._sent, False
        return sent

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Repeat, inside the block, a stop that was raised where Python drops exceptions."""
        before = sys.unraisablehook

        def hook(dropped: "UnraisableHookArgs") -> None:
            if isinstance(dropped.exc_value, KeyboardInterrupt):
                self.again(getattr(dropped.exc_value, "signum", signal.SIGINT))
            else:
                before(dropped)

        sys.unraisablehook = hook
        try:
            yield
        finally:
            self._waiting = False
            sys.unraisablehook = before

    def _send(self, signum: int) -> None:
        time.sleep(_PAUSE_S)
        main = threading.main_thread().ident
        if self._waiting and main is not None:
            self._waiting = False
            self._sent = True
            if sys.platform == "win32":
                _thread.interrupt_main(signum)
            else:
                signal.pthread_kill(main, signum)  # ends a call that waits, too


def undivided(frame: FrameType | None) -> bool:
    """Whether this code is part of a call that a stop has to wait for."""
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith(_UNDIVIDED) and name not in _LONG:
            return True
        frame = frame.f_back
    return False


@contextmanager
def patient_interrupts() -> Iterator[None]:
    """Make Ctrl-C wait for the end of an undivided call, and come again where it was dropped.

    A third one waits for nothing. Without effect where the process ignores Ctrl-C.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    insistence, pressed = Insistence(), 0

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed += not insistence.is_repeated()
        if undivided(frame) and pressed <= 2:
            insistence.again(signum)
            return
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handle)
    try:
        with insistence.installed():
            yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
