"""Entry point of `a5ctl` and of `python -m a5ctl`: safe streams first, then the program."""

import os
import sys


def main() -> None:
    """Run the program; Ctrl-C while it is still loading is no accident either."""
    _ensure_streams()
    try:
        from typer.main import get_command

        from a5ctl.app import app

        # built here, because Typer would end in silence if a stop came meanwhile
        program = get_command(app)
    except KeyboardInterrupt:
        sys.stderr.write("stopped by SIGINT before anything was started\n")
        sys.exit(130)
    program()


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


if __name__ == "__main__":
    main()
