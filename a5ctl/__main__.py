"""Entry point of `a5ctl` and of `python -m a5ctl`: safe streams first, then the program."""

import os
import re
import sys
from typing import TYPE_CHECKING

from core.insistence import patient_interrupts

if TYPE_CHECKING:
    from types import TracebackType


def main() -> None:
    """Run the program; Ctrl-C while it is still loading is no accident either."""
    _ensure_streams()
    _ensure_width()
    sys.excepthook = _show_unexpected
    try:
        with patient_interrupts():
            _run()
    except KeyboardInterrupt:
        _tell_of_stop()
        sys.exit(130)
    except SystemExit as end:
        if _stopped_in_silence(end):
            _tell_of_stop()
        raise


def _run() -> None:
    from typer.main import get_command

    from a5ctl.app import build, known, outline

    words = [word for word in sys.argv[1:3] if word != "--"]
    if any(name.endswith("_COMPLETE") for name in os.environ):
        program = build()
    elif words and words[0] in known():
        program = build(words[0])
    else:
        program = outline()
    get_command(program)()


def _stopped_in_silence(end: SystemExit) -> bool:
    """Typer makes an exit code of a stop that comes before a command can speak of it."""
    source = end.__context__
    return source is not None and isinstance(source.__cause__, KeyboardInterrupt)


def _tell_of_stop() -> None:
    sys.stderr.write("stopped by SIGINT before anything was started\n")


def _ensure_streams() -> None:
    """Put the null device where a standard stream is closed.

    Else the next file opened would get its number, and what a library prints would be written
    into that file, which may be the registry.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
            mode = "r" if number == 0 else "w"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def _ensure_width() -> None:
    """Forget a width or height that no terminal has; lines of a table are as long as it says."""
    for name in ("COLUMNS", "LINES"):
        if not re.fullmatch("[1-9][0-9]{0,3}", os.environ.get(name, "1"), re.ASCII):
            del os.environ[name]


def _show_unexpected(
    kind: type[BaseException], error: BaseException, trace: "TracebackType | None"
) -> None:
    """A traceback as Python prints it, except that texts of others in it reach no terminal."""
    from traceback import format_exception

    from a5ctl.console import printable

    sys.stderr.write(printable("".join(format_exception(kind, error, trace))))


if __name__ == "__main__":
    main()
