"""Ends the program when its terminal is gone.

A shell passes a hang-up on, but not everything that opens a terminal does; a screen that nobody
sees would then wait for ever for its writes, and spin on its reads.
"""

import os
import signal
import threading
import time

_EVERY_S = 2.0
_HUNG_UP = 129


def leave_with_terminal(descriptor: int) -> None:
    """Watch a terminal from a thread of its own, and end this process as a hang-up would.

    Args:
        descriptor: Of the terminal that the program draws on.
    """
    threading.Thread(target=_watch, args=(descriptor,), name="a5ctl-ui-hangup", daemon=True).start()


def _watch(descriptor: int) -> None:
    while os.isatty(descriptor):
        time.sleep(_EVERY_S)
    if hasattr(signal, "SIGHUP"):
        os.kill(os.getpid(), signal.SIGHUP)
    os._exit(_HUNG_UP)  # where hang-ups are ignored; the main thread waits for a write
