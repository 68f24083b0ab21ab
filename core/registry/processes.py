"""Which process is this, and does that one still exist? Marks survive the reuse of process ids."""

import os
import platform
import subprocess
import sys
from enum import Enum
from functools import lru_cache
from pathlib import Path


class ProcessState(Enum):
    """What can be said about a process from here.

    `rebooted`: gone, if it ran here before the machine was last started; but another machine of
    the same name looks just so.
    """

    ALIVE = "alive"
    GONE = "gone"
    REBOOTED = "rebooted"
    UNKNOWN = "unknown"


@lru_cache(maxsize=1)
def host_name() -> str:
    """Name of this machine."""
    return platform.node() or "unknown"


def process_mark(pid: int | None = None) -> str | None:
    """A mark of a running process that no later process with the same id has.

    On Linux boot id, namespace of process ids, and start time in ticks; elsewhere the start time.

    Returns:
        None when there is no such process, or nothing can be found out.
    """
    pid = os.getpid() if pid is None else pid
    if sys.platform.startswith("linux"):
        start = _linux_start(pid)
        return None if start is None else f"{_linux_world()}/{start}"
    if sys.platform == "win32":
        return _windows_start(pid)
    return _posix_start(pid)


def process_state(host: str | None, pid: int | None, mark: str | None) -> ProcessState:
    """Whether the process that left this mark still runs.

    Args:
        host: Where it ran.
        pid: Its id there.
        mark: Its `process_mark`.
    """
    if host != host_name() or pid is None or mark is None:
        return ProcessState.UNKNOWN
    if sys.platform.startswith("linux"):
        if _other_namespace(mark):
            return ProcessState.UNKNOWN
        if _other_boot(mark):
            return ProcessState.REBOOTED
    return ProcessState.ALIVE if process_mark(pid) == mark else ProcessState.GONE


def _other_namespace(mark: str) -> bool:
    """Same boot, but a container whose process ids mean nothing here."""
    boot, namespace, *_ = [*mark.split("/"), "", ""]
    here_boot, here_namespace = _linux_world().split("/")
    return boot == here_boot and namespace != here_namespace


def _other_boot(mark: str) -> bool:
    boot, *rest = mark.split("/")
    return bool(rest) and boot != _linux_world().split("/")[0]


@lru_cache(maxsize=1)
def _linux_world() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = "?"
    try:
        namespace = str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        namespace = "?"
    return f"{boot}/{namespace}"


def _linux_start(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # the command may hold spaces and parentheses; fields are counted behind the last one
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def _posix_start(pid: int) -> str | None:
    try:
        found = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return found.stdout.strip() or None


def _windows_start(pid: int) -> str | None:
    import ctypes

    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009
    query_limited_information = 0x1000
    handle = kernel.OpenProcess(query_limited_information, False, pid)
    if not handle:
        return None
    times = (ctypes.c_ulonglong * 4)()
    sizes = [ctypes.byref(times, 8 * index) for index in range(4)]
    found = kernel.GetProcessTimes(handle, *sizes)
    kernel.CloseHandle(handle)
    creation, exited = times[0], times[1]
    return str(creation) if found and not exited else None
