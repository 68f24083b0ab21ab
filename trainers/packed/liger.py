"""The SFT loss by liger-kernel's fused projection and cross-entropy, where it is installed."""

import importlib
import importlib.metadata

import torch
from torch import Tensor


def liger_version() -> str | None:
    """Version of the installed liger-kernel, None where it is absent."""
    try:
        return importlib.metadata.version("liger-kernel")
    except importlib.metadata.PackageNotFoundError:
        return None


def liger_loss(hidden: Tensor, weight: Tensor, labels: Tensor, denominator: float) -> Tensor:
    """What `chunked_loss` computes, by liger's kernel.

    Args:
        hidden: Shape (S, H) on CUDA, S at least 1.
        weight: Shape (V, H).
        labels: Shape (S,), int64.
        denominator: Of the loss.

    Raises:
        ValueError: the denominator is not positive.
        ImportError: liger-kernel is not installed.
    """
    if denominator <= 0:
        raise ValueError(f"the denominator of a loss must be positive, not {denominator}")
    kernel = importlib.import_module("liger_kernel.transformers.functional")
    device = hidden.device.type
    autocast = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if autocast else hidden.dtype
    with torch.autocast(device, enabled=False):
        # cast here: within autocast the kernel would cast the whole matrix again for each chunk
        total: Tensor = kernel.liger_fused_linear_cross_entropy(
            hidden.to(dtype),
            weight.to(dtype),
            labels,
            reduction="sum",
            accum_dtype=torch.float32,
        )
    return total / denominator
