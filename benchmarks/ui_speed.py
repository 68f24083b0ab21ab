"""How fast the full-screen terminal answers, as a person sees it: a process on a real terminal.

    python benchmarks/registry_generator.py HOME --runs 1000 --steps 1000 --metrics 20
    python benchmarks/ui_speed.py --home HOME

Starts `a5ctl ui` on a pseudo terminal and reads what it draws. Measured are the time from the start
of the process to a screen with a run on it, the time from a key to the end of the next frame (the
program marks its frames for terminals that understand it), the time until nothing more follows of
itself, the processor time of a key, and the share of a core while nobody touches it; all beside a
process that records five steps a second into the same registry. On a busy machine processor times
say more than wall times. Writes benchmarks/results/ui_speed.json.
"""

import argparse
import fcntl
import math
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.timing import write  # noqa: E402
from core.registry.store import open_registry  # noqa: E402

SIZES = ((80, 24), (200, 60))
QUIET_S = 0.15
ASKS_FOR_FRAMES, FRAMES_ARE_MARKED = b"\x1b[?2026$p", b"\x1b[?2026;1$y"
FRAME_END = b"\x1b[?2026l"
LIVE = """
import math, sys, time
from pathlib import Path
from core.registry.recorder import Recorder
from core.registry.records import NewRun
from core.registry.store import open_registry
from core.workspace import open_workspace
workspace = open_workspace(Path(sys.argv[1]))
registry = open_registry(workspace.registry_url())
run = registry.create_run(NewRun("sft", {"kind": "sft"}, "0" * 16, "builtin", "builtin", size=256))
with Recorder(registry, run.uuid, workspace.run_folder(run.id)) as recorder:
    print(run.uuid, flush=True)
    for step in range(1, 1_000_000):
        values = {f"m{n}": math.exp(-step / 300) + n for n in range(19)}
        recorder.metrics(step, {"loss": math.exp(-step / 300), **values})
        time.sleep(0.2)
"""
JOURNEYS = {
    "next row": ["j"] * 40,
    "a screen down": ["\x1b[6~"] * 10,
    "sort turned": ["S"] * 6,
    "groups folded and unfolded": ["g"] * 6,
    "a letter of a search": ["/", "s", "f", "t", "\x1b"],
    "open a run": ["\r"],
    "tabs of a run": ["2", "3", "4", "5", "1"],
    "zoom and pan": ["+", "+", "l", "h", "-", "0", "s", "x", "x", "x"],
    "open responses": ["r"],
    "next response, next failure": ["j"] * 10 + ["n"] * 10,
    "back twice": ["\x1b", "\x1b"],
}


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, arguments: list[str], size: tuple[int, int]) -> None:
        self.begun = time.perf_counter()
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
        environment |= {"COLORTERM": "truecolor"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "a5ctl", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)

    def until(self, wanted: bytes, limit: float = 20.0) -> float:
        """Seconds since the start until something was drawn.

        Raises:
            TimeoutError: it never was.
        """
        seen = b""
        while time.perf_counter() - self.begun < limit:
            if select.select([self._master], [], [], 0.5)[0]:
                seen += self._read()
                if wanted in seen:
                    return time.perf_counter() - self.begun
        raise TimeoutError(f"{wanted!r} was never drawn: {seen[-2000:]!r}")

    def press(self, key: str) -> tuple[float, float]:
        """Seconds until the end of the next frame, and until nothing more follows."""
        self.settle()
        begun = time.perf_counter()
        os.write(self._master, key.encode())
        frame = last = math.nan
        while select.select([self._master], [], [], 1.0 if math.isnan(last) else QUIET_S)[0]:
            drawn = self._read()
            last = time.perf_counter() - begun
            if math.isnan(frame) and FRAME_END in drawn:
                frame = last
        return frame, last

    def settle(self, quiet: float = QUIET_S) -> None:
        """Wait until nothing more is drawn."""
        while select.select([self._master], [], [], quiet)[0]:
            self._read()

    def _read(self) -> bytes:
        """What was drawn; questions to the terminal are answered."""
        drawn = os.read(self._master, 1 << 16)
        if ASKS_FOR_FRAMES in drawn:
            os.write(self._master, FRAMES_ARE_MARKED)
        return drawn

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def idle_share(self, seconds: float) -> float:
        """Share of a core while nobody touches it."""
        self.settle(0.3)
        before, begun = self.cpu_seconds(), time.perf_counter()
        while (left := seconds - (time.perf_counter() - begun)) > 0:
            if select.select([self._master], [], [], left)[0]:
                self._read()
        return (self.cpu_seconds() - before) / (time.perf_counter() - begun)

    def close(self) -> None:
        """End the program as a person does."""
        os.write(self._master, b"\x1b\x1bq")
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
        os.close(self._master)


@contextmanager
def live_run(home: Path) -> Iterator[str]:
    """A process that records; gives the run's uuid."""
    process = subprocess.Popen(
        [sys.executable, "-c", LIVE, str(home)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def measure(home: Path, size: tuple[int, int], starts: int, idle: float, newest: bytes) -> dict:
    """All figures at one size, in seconds."""
    arguments = ["ui", "--home", str(home)]
    first, first_cpu = [], []
    for _ in range(starts):
        terminal = Terminal(arguments, size)
        first.append(terminal.until(newest))
        first_cpu.append(terminal.cpu_seconds())
        terminal.settle(0.5)
        terminal.close()
    terminal = Terminal(arguments, size)
    terminal.until(newest)
    terminal.settle(1.0)
    frames: dict[str, list[float]] = {}
    settled: dict[str, list[float]] = {}
    before = terminal.cpu_seconds()
    for name, pressed in JOURNEYS.items():
        answers = [terminal.press(key) for key in pressed]
        frames[name] = [frame for frame, _ in answers if not math.isnan(frame)]
        settled[name] = [last for _, last in answers if not math.isnan(last)]
    cpu = terminal.cpu_seconds() - before
    share = terminal.idle_share(idle)
    terminal.close()
    return {
        "first_screen": _summary(first),
        "first_screen_cpu": _summary(first_cpu),
        "key_to_frame": _summary([one for answers in frames.values() for one in answers]),
        "key_to_settled": _summary([one for answers in settled.values() for one in answers]),
        "cpu_of_a_key": round(cpu / sum(map(len, JOURNEYS.values())), 4),
        "idle_share_of_a_core": round(share, 4),
        "by_key": {
            name: {"frame": _summary(frames[name]), "settled": _summary(settled[name])}
            for name in JOURNEYS
            if frames[name]
        },
    }


def _summary(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    p95 = ordered[max(0, math.ceil(0.95 * len(ordered)) - 1)]
    figures = {"median": statistics.median(ordered), "p95": p95, "max": ordered[-1]}
    return {name: round(value, 4) for name, value in figures.items()} | {"n": len(ordered)}


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--idle", type=float, default=20.0)
    given = parser.parse_args()
    registry = open_registry(f"sqlite:///{given.home / 'registry.db'}", create=False)
    result = {}
    with live_run(given.home) as uuid:
        newest = registry.run_by_uuid(uuid).id
        time.sleep(3)
        for size in SIZES:
            figures = measure(given.home, size, given.starts, given.idle, newest.encode())
            result["x".join(map(str, size))] = figures
            print(size, {name: figures[name] for name in figures if name != "by_key"})
            for name, one in figures["by_key"].items():
                parts = [f"{k} {v['median']:.3f} (p95 {v['p95']:.3f})" for k, v in one.items()]
                print(f"  {name:30} {'  '.join(parts)}")
    runs = registry.count_runs(archived=True)
    registry.close()
    load = [round(value, 1) for value in os.getloadavg()]
    write("ui_speed", {"runs": runs, "live_steps_per_second": 5, "load": load, "seconds": result})


if __name__ == "__main__":
    main()
