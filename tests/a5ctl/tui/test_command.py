"""`a5ctl ui` without a terminal, and on a real one."""

import fcntl
import os
import pty
import select
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


@pytest.mark.slow
def test_on_a_real_terminal_it_draws_answers_and_leaves_the_terminal_as_it_was(
    lived_home: Path,
) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "a5ctl", "ui", "--home", str(lived_home)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.close(slave)
    seen = b""

    def until(wanted: bytes) -> None:
        nonlocal seen
        end = time.monotonic() + 30
        while wanted not in seen and time.monotonic() < end:
            if select.select([master], [], [], 0.2)[0]:
                seen += os.read(master, 1 << 16)
        assert wanted in seen, seen[-2000:]

    until(b"sft-256-best")
    assert b"\x1b[?1049h" in seen  # the screen of its own
    os.write(master, b"q")
    until(b"\x1b[?1049l")  # and back
    assert process.wait(20) == 0
    os.close(master)
