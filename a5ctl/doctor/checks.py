"""What can be looked at on a machine before a run: what was found, and how to fix it."""

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from a5ctl.doctor.check import Check, Status
from a5ctl.doctor.gpu import gpu_checks as judged
from a5ctl.doctor.look import find_gpus
from a5ctl.format import size
from core.errors import UserError
from core.units import GIB, gib

REQUIRED = (
    "torch", "transformers", "tokenizers", "safetensors", "huggingface-hub", "numpy", "sympy",
    "pylatexenc", "pydantic", "sqlmodel", "sqlalchemy", "alembic", "typer", "rich", "tomli-w",
    "zstandard",
)  # fmt: skip
_LOW_DISK = GIB
_NO_DISK = 100 << 20
_LOW_MEMORY = 2 << 30


def all_checks(home: Path | None, registry: str | None) -> list[Check]:
    """Look at everything; a check that breaks is itself a finding."""
    parts: tuple[Callable[[], Iterator[Check]], ...] = (
        software_checks,
        engine_checks,
        machine_checks,
        gpu_checks,
        lambda: workspace_checks(home, registry),
    )
    found: list[Check] = []
    for part in parts:
        try:
            found += part()
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error)[:300]}"
            fix = "report this, with what a5ctl doctor --json prints"
            found.append(Check("problems", "unexpected", Status.FAIL, reason, fix))
    return found


def software_checks() -> Iterator[Check]:
    """Python and the packages every run needs, the heavy ones imported for real."""
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Check(
        "software", "python", Status.OK if fits else Status.FAIL, platform.python_version(),
        "" if fits else "start python3.12 bootstrap.py install, with 3.11, 3.12 or 3.13",
    )  # fmt: skip
    missing = [name for name in REQUIRED if _version(name) is None]
    if missing:
        fix = f"pip install {' '.join(missing)}"
        yield Check("software", "packages", Status.FAIL, f"missing: {', '.join(missing)}", fix)
    for name in ("torch", "transformers"):
        yield _import_check(name)
    rest = [f"{name} {_version(name)}" for name in REQUIRED[2:] if _version(name)]
    yield Check("software", "others", Status.OK, ", ".join(rest))


def engine_checks() -> Iterator[Check]:
    """Which engine and which attention kernel would be used, and why."""
    from core.engines.select import choose_engine

    choice = choose_engine("auto")
    yield Check("engines", "generation", Status.OK, f"{choice.name}: {choice.reason}")
    yield Check("engines", "attention", Status.OK, _attention())
    try:
        from core.models import resolve_model

        resolve_model("builtin")
        yield Check("engines", "built-in model", Status.OK, "present")
    except UserError as error:
        yield Check("engines", "built-in model", Status.FAIL, str(error), "reinstall a5ctl")


def machine_checks() -> Iterator[Check]:
    """Processor, threads and memory."""
    from core.provenance import machine

    computer = machine()
    cores = f"{computer.usable_cores} of {computer.cores} cores usable"
    yield Check("machine", "cpu", Status.OK, f"{computer.cpu}, {cores}")
    yield _threads(computer.usable_cores)
    yield _memory(computer.memory_bytes)


def gpu_checks() -> Iterator[Check]:
    """GPUs, and what is compiled for them."""
    yield from judged(find_gpus())


def workspace_checks(home: Path | None, registry: str | None) -> Iterator[Check]:
    """Whether runs can be written and recorded where they would be."""
    from a5ctl.doctor.registry import record_checks

    folder = (home or Path.cwd()).expanduser().absolute()
    yield _writable(folder)
    yield _disk(folder)
    yield from record_checks(home, registry)
    yield _filesystem(home, registry)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _import_check(name: str) -> Check:
    from core.models import prepare_imports

    try:
        prepare_imports()
        module = importlib.import_module(name)
        return Check("software", name, Status.OK, str(module.__version__))
    except Exception as error:
        reason = f"{_version(name) or 'absent'}, import fails: {type(error).__name__}: {error}"
        return Check("software", name, Status.FAIL, reason[:300], f"pip install -U {name}")


def _cuda_build() -> str | None:
    import torch

    return torch.version.cuda


def _attention() -> str:
    if _cuda_build() is None:
        return "torch SDPA, its CPU kernel"
    return "on a GPU flash-attn, else torch's own kernels: each run tries them and says which"


def _threads(usable: int) -> Check:
    import torch

    wanted = os.environ.get("OMP_NUM_THREADS")
    value = f"torch starts with {torch.get_num_threads()}; training measures and picks its own"
    if wanted and wanted.isdigit() and int(wanted) > usable:
        return Check(
            "machine", "threads", Status.WARN, f"OMP_NUM_THREADS={wanted} on {usable} cores",
            f"set OMP_NUM_THREADS to at most {usable}",
        )  # fmt: skip
    return Check("machine", "threads", Status.OK, value)


def _memory(total: int | None) -> Check:
    if total is None:
        return Check("machine", "memory", Status.OK, "unknown on this system")
    low = total < _LOW_MEMORY
    return Check(
        "machine", "memory", Status.WARN if low else Status.OK, gib(total),
        "use the built-in model and --engine hf" if low else "",
    )  # fmt: skip


def _existing(folder: Path) -> Path:
    """The folder itself or the nearest parent that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _writable(folder: Path) -> Check:
    place = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(b"a5ctl")
    except OSError as error:
        return Check(
            "workspace", "folder", Status.FAIL, f"{folder}: {error.strerror or error}",
            "choose a folder you may write to with --home or A5CTL_HOME",
        )  # fmt: skip
    return Check(
        "workspace", "folder", Status.OK,
        f"{folder}" if place == folder else f"{folder} (would be created)",
        mendable=place != folder,
    )  # fmt: skip


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(_existing(folder)).free
    status = Status.FAIL if free < _NO_DISK else Status.WARN if free < _LOW_DISK else Status.OK
    fix = "" if status is Status.OK else "free some space, or choose another disk with --home"
    return Check("workspace", "disk", status, f"{size(free)} free", fix)


def _filesystem(home: Path | None, registry: str | None) -> Check:
    from core.file_systems import file_system, is_network, network_hint
    from core.registry.connections import sqlite_path
    from core.workspace import Workspace

    folder = (home or Path.cwd()).expanduser().absolute()
    try:
        path = sqlite_path(Workspace(folder).registry_url(registry))
    except UserError as error:
        fix = "name another with --registry, or unset A5CTL_REGISTRY"
        return Check("workspace", "file system", Status.FAIL, str(error), fix)
    kind = file_system(folder if path is None else path)
    hint = network_hint(path)
    if hint is not None:
        value, _, fix = hint.partition("; ")
        return Check("workspace", "file system", Status.WARN, value, fix)
    shown = kind or "unknown on this system"
    over = f"{shown} (the registry is on a server)" if path is None and is_network(kind) else shown
    return Check("workspace", "file system", Status.OK, over)
