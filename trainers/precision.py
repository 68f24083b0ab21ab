"""Which precision the passes of a training run use when nobody said."""

import torch


def training_precision(wanted: str, device: str) -> str:
    """Resolve `auto`: bfloat16 where the hardware multiplies it at more than float32's rate.

    Weights, gradients, moments and sums stay float32 either way. On CPUs the answer follows from
    what the processor is, not from a measurement, so that the runs of a matrix agree.

    Args:
        wanted: `auto`, `float32` or `bfloat16`.
        device: `cpu` or `cuda`.
    """
    if wanted != "auto":
        return wanted
    return "bfloat16" if device == "cuda" or cpu_multiplies_bfloat16() else "float32"


def cpu_multiplies_bfloat16() -> bool:
    """The processor has instructions for bfloat16 products (AVX512-BF16, AMX)."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16"))
