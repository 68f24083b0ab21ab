"""Sends a live run elsewhere by reading along in its journal, on a thread of its own.

Training never waits for a mirror: the recorder writes the journal as it always does, and a mirror
that is slow, hangs or fails costs one warning.
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from core.interchange.limits import short_text
from core.registry.entries import (
    Entry,
    EvaluationEntry,
    EventEntry,
    MetricsEntry,
    RunEntry,
    StatusEntry,
    parse_entry,
)

_ROWS = b',"problems":['
_NOT_SENT = (b'{"entry":"rollouts"', b'{"entry":"artifact"')
_SHARES = ("type1", "type2", "type3", "unclosed", "unparseable", "truncated")


class Mirror(Protocol):
    """Where a run is sent; any exception ends the mirror, and only the mirror."""

    def begin(self, columns: dict[str, Any]) -> None:
        """The run as its row in the registry describes it."""

    def metrics(self, step: int, time: float, values: dict[str, float]) -> None:
        """Values of one step."""

    def event(self, step: int | None, time: float, text: str) -> None:
        """Something that happened."""

    def flush(self) -> None:
        """Nothing more is there for now."""

    def end(self, status: str) -> None:
        """The run is `finished`, `failed` or `interrupted`."""


class MirrorFeed:
    """Feeds one mirror from one journal.

    Args:
        name: What the mirror is called in messages.
        make: Makes it, on the feed's own thread.
        journal: The run's journal; it need not exist yet.
        on_trouble: Hears, once, why the mirror stopped; called on the feed's thread.
        interval: Seconds between two looks at the journal.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Mirror],
        journal: Path,
        on_trouble: Callable[[str], None],
        *,
        interval: float = 1.0,
    ) -> None:
        self._name = name
        self._make = make
        self._journal = journal
        self._on_trouble = on_trouble
        self._interval = interval
        self._ending = threading.Event()
        self._told = False
        self._thread = threading.Thread(target=self._work, name=f"mirror-{name}", daemon=True)

    def start(self) -> None:
        """Begin to read along."""
        self._thread.start()

    def finish(self) -> None:
        """The run has ended: send what is left, and end."""
        self._ending.set()

    def stop(self, timeout: float) -> None:
        """Wait until everything is sent, as far as the time goes."""
        self.finish()
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._tell("it had not sent everything when the time for that was over")

    def _work(self) -> None:
        try:
            self._feed(self._make())
        except BaseException as error:  # whatever a foreign package does, the run goes on
            self._tell(f"{type(error).__name__}: {error}")

    def _tell(self, reason: str) -> None:
        if not self._told:
            self._told = True
            text = short_text(reason, 300).splitlines() or [""]
            self._on_trouble(f"the mirror {self._name} stopped and the run went on: {text[0]}")

    def _feed(self, mirror: Mirror) -> None:
        begun, status = False, "interrupted"
        file: IO[bytes] | None = None
        try:
            while True:
                ending = self._ending.is_set()
                if file is None and self._journal.exists():
                    file = self._journal.open("rb")
                for entry in _entries(file) if file is not None else ():
                    if isinstance(entry, RunEntry) and not begun:
                        begun = True
                        mirror.begin(entry.columns)
                    elif isinstance(entry, StatusEntry):
                        status = entry.status
                    elif begun:
                        _send(mirror, entry)
                if begun:
                    mirror.flush()
                if ending:
                    break
                self._ending.wait(self._interval)
            if begun:
                mirror.end(status)
        finally:
            if file is not None:
                file.close()


def _entries(file: IO[bytes]) -> Iterator[Entry]:
    """What was written since the last look; a line that is not whole yet is left for the next."""
    while True:
        start = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(start)
            return
        if line.startswith(_NOT_SENT):
            continue
        if line.startswith(b'{"entry":"evaluation"'):  # its figures stand before its many rows
            line = line.partition(_ROWS)[0] + b',"problems":[],"responses":[]}'
        try:
            yield parse_entry(line)
        except ValueError:
            continue


def _send(mirror: Mirror, entry: Entry) -> None:
    match entry:
        case MetricsEntry():
            mirror.metrics(entry.step, entry.time, entry.values)
        case EvaluationEntry():
            top = f"evaluation/{entry.split}"
            values = {f"{top}/accuracy": entry.accuracy}
            values |= {f"{top}/accuracy_{name}": v for name, v in entry.accuracies.items()}
            shares = {name: getattr(entry, name) / max(1, entry.n) for name in _SHARES}
            values |= {f"{top}/{name}": share for name, share in shares.items()}
            mirror.metrics(entry.step, entry.time, values)
        case EventEntry():
            text = f"{entry.severity} {entry.kind}: {entry.message}"
            mirror.event(entry.step, entry.time, text)
