"""What the launcher hands to its processes, and what they report back."""

import json
import os
import pickle
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.registry.records import RunRecord
from core.workspace import Workspace
from trainers.prepare import Prepared

_LENGTH = struct.Struct(">Q")
_ABANDONED = 70
_LONGEST = 4000


@dataclass(frozen=True, slots=True)
class Job:
    """One run, for every process of it.

    Attributes:
        run: The registry's row.
        prepared: Config, problems, template: the same objects everywhere.
        workspace: Where the run folder is.
        registry_url: Where the main process records.
        argv: The command line, for the record.
        resuming: The run was started before.
        rendezvous: A file that does not exist yet, through which the processes find each other.
        engine_device: The GPU that the engine has for itself, as `CUDA_VISIBLE_DEVICES` names it.
    """

    run: RunRecord
    prepared: Prepared
    workspace: Workspace
    registry_url: str
    argv: Sequence[str]
    resuming: bool
    rendezvous: Path
    engine_device: str | None

    def pack(self) -> bytes:
        """Bytes for `Lifeline.job`."""
        data = pickle.dumps(self)
        return _LENGTH.pack(len(data)) + data


class Lifeline:
    """A process' connection to its launcher: the job, then news; its end is the process' end.

    The launcher holds the other end of the pipe, which the system closes however the launcher
    dies, so that no process outlives it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._news: str | None = None
        self._told = threading.Event()

    def job(self) -> Job:
        """Read the job, then listen.

        Raises:
            EOFError: the launcher has gone already.
        """
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        job: Job = pickle.loads(self._read(length))
        threading.Thread(target=self._listen, name="lifeline", daemon=True).start()
        return job

    def lost(self, wait: float) -> str | None:
        """Which process was lost, as a sentence; waits so many seconds for the news."""
        self._told.wait(wait)
        return self._news

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = os.read(self._descriptor, count - len(data))
            if not part:
                raise EOFError("the launcher has gone")
            data += part
        return data

    def _listen(self) -> None:
        heard = b""
        while part := os.read(self._descriptor, 4096):
            heard += part
            if heard.endswith(b"\n"):
                self._news = heard.decode().strip()
                self._told.set()
        os._exit(_ABANDONED)


def report(descriptor: int, **values: str | int) -> None:
    """Tell the launcher how this process ended; once, and short enough for a pipe."""
    short = {k: v[:_LONGEST] if isinstance(v, str) else v for k, v in values.items()}
    os.write(descriptor, json.dumps(short).encode())


def read_report(descriptor: int) -> dict[str, Any]:
    """What a process that has ended reported; empty when it had no time to."""
    data = b""
    while part := os.read(descriptor, 65_536):
        data += part
    return dict(json.loads(data)) if data else {}
