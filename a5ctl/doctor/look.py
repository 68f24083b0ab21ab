"""What `a5ctl doctor` finds out about GPUs and what is compiled for them; it judges nothing."""

import contextlib
import csv
import importlib.util
import io
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import warnings
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from core.engines.stack import Stack, find_stack
from core.units import MIB

_FIELDS = "index,uuid,name,memory.total,memory.used,compute_cap,mig.mode.current,driver_version"
_SHARED_MEMORY = Path("/dev/shm")
_ASK_TIME_S = 20
_LOAD_TIME_S = 120
# the libraries of torch must be there first, as in an import
_LOADING = """
import ctypes, os, sys, torch
for file in sys.argv[1:]:
    ctypes.CDLL(file, mode=os.RTLD_NOW)
"""


@dataclass(frozen=True, slots=True)
class Card:
    """One GPU.

    Attributes:
        index: As the driver counts.
        name: Product name.
        total: Memory in bytes; None where it is not told.
        used: Of it in use by anybody, in bytes; None where it is not told.
        capability: Compute capability; None where it is not told.
        mig: It is divided into MIG instances.
    """

    index: int
    name: str
    total: int | None = None
    used: int | None = None
    capability: tuple[int, int] | None = None
    mig: bool = False


@dataclass(frozen=True, slots=True)
class Compiled:
    """A package with compiled parts.

    Attributes:
        version: None where it is absent.
        error: Why its compiled part cannot be loaded; None where it can.
    """

    version: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class GpuFindings:
    """All that the checks of the group gpu judge.

    Attributes:
        stack: Versions, and what each is built for.
        driver: Version of the NVIDIA driver, from its program.
        asked: The driver's program `nvidia-smi` is here and has answered.
        cards: GPUs, from the driver's program; else those that torch sees.
        on_bus: Names of GPUs in the files of the driver, which are there without its program too.
        torch_sees: How many GPUs torch can use.
        torch_says: torch's own complaint when it looked.
        vllm: Its compiled part.
        flash: flash-attn's compiled part.
        liger: Version of liger-kernel.
        triton: Its version.
        compiler: C compiler that Triton would take.
        headers: Python's C headers are here, which Triton's launcher needs.
        shared_memory: Size of /dev/shm in bytes; None where there is none.
        glibc: Version of the C library; None on other systems.
    """

    stack: Stack = field(default_factory=Stack)
    driver: str | None = None
    asked: bool = False
    cards: tuple[Card, ...] = ()
    on_bus: tuple[str, ...] = ()
    torch_sees: int = 0
    torch_says: str | None = None
    vllm: Compiled = field(default_factory=Compiled)
    flash: Compiled = field(default_factory=Compiled)
    liger: str | None = None
    triton: str | None = None
    compiler: str | None = None
    headers: bool = True
    shared_memory: int | None = None
    glibc: tuple[int, int] | None = None


def find_gpus() -> GpuFindings:
    """Look at this machine. torch is imported; nothing is started on a GPU by this process."""
    from core.provenance import machine

    text = _ask_driver()
    driver, cards = read_driver(text or "")
    sees, says = _torch_looks()
    computer = machine()
    return GpuFindings(
        stack=find_stack(),
        driver=driver or computer.driver,
        asked=text is not None,
        cards=cards or _cards_of_torch(sees),
        on_bus=computer.gpus,
        torch_sees=sees,
        torch_says=says,
        # builds for a CPU choose among several parts when they start
        vllm=_compiled("vllm", "vllm", "_C[._]*.so"),
        flash=_compiled("flash-attn", "flash_attn_2_cuda", "flash_attn_2_cuda*.so"),
        liger=_version("liger-kernel"),
        triton=_version("triton"),
        compiler=os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"),
        headers=Path(sysconfig.get_paths()["include"], "Python.h").is_file(),
        shared_memory=_shared_memory(),
        glibc=_glibc(),
    )


def read_driver(text: str) -> tuple[str | None, tuple[Card, ...]]:
    """The driver's version and its GPUs in what `nvidia-smi --query-gpu` prints.

    Values that a driver or a card does not tell stand there in brackets: `[N/A]`.
    """
    driver, cards = None, []
    for row in csv.reader(io.StringIO(text), skipinitialspace=True):
        if len(row) != _FIELDS.count(",") + 1 or not row[0].strip().isdecimal():
            continue
        index, _, name, total, used, capability, mig, driver = (each.strip() for each in row)
        cards.append(
            Card(
                int(index), name, _mebibytes(total), _mebibytes(used), _pair(capability),
                mig == "Enabled",
            )
        )  # fmt: skip
    return driver, tuple(cards)


def _ask_driver() -> str | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_ASK_TIME_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _torch_looks() -> tuple[int, str | None]:
    """How many GPUs torch can use, and its warning where it can use none."""
    import torch

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return count, str(said[0].message) if said and not count else None


def _cards_of_torch(count: int) -> tuple[Card, ...]:
    import torch

    found = [torch.cuda.get_device_properties(index) for index in range(count)]
    return tuple(
        Card(index, each.name, each.total_memory, None, (each.major, each.minor))
        for index, each in enumerate(found)
    )


def _compiled(distribution: str, module: str, pattern: str) -> Compiled:
    """Load a compiled part in a process of its own, which it may take along."""
    present = _version(distribution)
    if present is None:
        return Compiled()
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return Compiled(present, f"its module {module} is missing")
    files = [str(file) for file in sorted(Path(spec.origin).parent.glob(pattern))]
    command = [sys.executable, "-c", _LOADING, *files]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LOAD_TIME_S)
    except subprocess.TimeoutExpired:
        return Compiled(present, f"loading it took longer than {_LOAD_TIME_S} s")
    if done.returncode == 0:
        return Compiled(present)
    lines = done.stderr.strip().splitlines()
    return Compiled(present, lines[-1] if lines else f"loading it ended with {done.returncode}")


def _shared_memory() -> int | None:
    with contextlib.suppress(OSError, AttributeError):
        found = os.statvfs(_SHARED_MEMORY)
        return found.f_frsize * found.f_blocks
    return None


def _glibc() -> tuple[int, int] | None:
    library, number = platform.libc_ver()
    return _pair(number) if library == "glibc" else None


def _mebibytes(text: str) -> int | None:
    return int(text) * MIB if text.isdecimal() else None


def _pair(text: str) -> tuple[int, int] | None:
    parts = text.split(".")[:2]
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        return None
    return int(parts[0]), int(parts[1])


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
