"""The program with a function that waits: so that a stop or a kill hits the same moment always.

A process that says `HELD` has just done the function's work, however slow the machine is.
"""

from pathlib import Path

import pytest

from tests.warm import Started

HELD = "waiting as told"
_CODE = """
import functools, importlib, os, time
*owners, name = {function!r}.split(".")
place = functools.reduce(getattr, owners, importlib.import_module({module!r}))
inner, calls = getattr(place, name), 0

def wait(*arguments, **named):
    global calls
    found = inner(*arguments, **named)
    calls += 1
    if calls == {call}:
        print({held!r}, flush=True)
        while not os.path.exists({go!r}):
            time.sleep(0.01)
    return found

setattr(place, name, wait)
{more}
from a5ctl.__main__ import main
main()
"""


def held(
    module: str, function: str, *, call: int = 1, go: Path | None = None, more: str = ""
) -> tuple[str, str]:
    """How Python is told to start the program.

    Args:
        module: Where the function is, or where what calls it has its name from.
        function: Its name, with that of its class where it has one.
        call: Which call waits, from 1.
        go: The call returns when this file is there; never when not given.
        more: Further statements to run before the program.
    """
    given = {"module": module, "function": function, "call": call, "more": more, "held": HELD}
    return "-c", _CODE.format(**given, go=str(go or "/nowhere/at/all"))


def read_until(process: Started, wanted: str) -> str:
    """What a process prints up to a line, and with it."""
    before = ""
    assert process.stdout is not None
    for line in process.stdout:
        before += line
        if wanted in line:
            return before
    pytest.fail(f"the process ended without {wanted!r}: {before}")
