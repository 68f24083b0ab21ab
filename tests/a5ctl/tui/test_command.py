"""`a5ctl ui` without a terminal, and on a real one."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.a5ctl.conftest import ROOT, House


def test_without_a_terminal_it_says_so_in_one_sentence(lived_home: Path) -> None:
    result = House(lived_home, lived_home, lived_home).run("ui")
    assert result.exit_code == 2
    assert "a5ctl ui needs a terminal to draw on; a5ctl ls and a5ctl show" in " ".join(
        result.output.split()
    )


class _Terminal:
    """The program on a pseudo terminal of 80 x 24, which is not its controlling one."""

    def __init__(self, home: Path) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "a5ctl", "ui", "--home", str(home)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(slave)
        self.seen = b""

    def until(self, wanted: bytes) -> None:
        end = time.monotonic() + 30
        while wanted not in self.seen and time.monotonic() < end:
            if select.select([self.master], [], [], 0.2)[0]:
                self.seen += os.read(self.master, 1 << 16)
        assert wanted in self.seen, self.seen[-2000:]


@pytest.mark.slow
def test_on_a_real_terminal_it_draws_answers_and_leaves_the_terminal_as_it_was(
    lived_home: Path,
) -> None:
    terminal = _Terminal(lived_home)
    terminal.until(b"sft-256-best")
    assert b"\x1b[?1049h" in terminal.seen  # the screen of its own
    os.write(terminal.master, b"q")
    terminal.until(b"\x1b[?1049l")  # and back
    assert terminal.process.wait(20) == 0
    os.close(terminal.master)


@pytest.mark.slow
def test_it_ends_with_its_terminal(lived_home: Path) -> None:
    terminal = _Terminal(lived_home)
    terminal.until(b"sft-256-best")
    os.close(terminal.master)
    assert terminal.process.wait(20) in (-signal.SIGHUP, 129)
