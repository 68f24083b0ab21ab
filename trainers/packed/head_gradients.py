"""Gradients of states and vocabulary matrix, filled chunk by chunk while a chunk's logits exist."""

from functools import lru_cache

import torch
from torch import Tensor

# logits in one chunk: 64 MiB of float32 on CPUs; on CUDA 1 GiB of float32 or 512 MiB of bfloat16,
# for a chunk must be large if its products are to outweigh adding up a gradient as large as the
# vocabulary matrix
CHUNK_LOGITS = {"cpu": 2**24, "cuda": 2**28}


class HeadGradients:
    """What a loss over the vocabulary leaves for the backward pass.

    Attributes:
        narrow: Shape (V, H): the output embedding in the precision of the products.
        hidden: Shape (S, H): gradient by the states, None where it is not wanted.
    """

    def __init__(
        self,
        hidden: Tensor,
        weight: Tensor,
        dtype: torch.dtype,
        learns: tuple[bool, bool],
    ) -> None:
        self.narrow = weight.to(dtype)
        self.hidden = torch.empty_like(hidden) if learns[0] else None
        self._weight = torch.zeros_like(weight, dtype=_sum_dtype(weight)) if learns[1] else None
        self._weight_dtype = weight.dtype
        self._states = hidden
        self._dtype = dtype

    @property
    def weight(self) -> Tensor | None:
        """Shape (V, H): gradient by the output embedding, None where it is not wanted."""
        return None if self._weight is None else self._weight.to(self._weight_dtype)

    def part(self, index: int, rows: int) -> Tensor:
        """States of chunk `index`, shape (n, H), in the precision of the products."""
        return self._states[index * rows : (index + 1) * rows].to(self._dtype)

    def add(self, index: int, rows: int, of_logits: Tensor) -> None:
        """Carry the gradient by a chunk's logits, (n, V), on to states and matrix."""
        if not len(of_logits):
            return
        of_logits = of_logits.to(self._dtype)
        if self.hidden is not None:
            self.hidden[index * rows : (index + 1) * rows] = of_logits @ self.narrow
        if self._weight is not None:
            add_product(self._weight, of_logits.T, self.part(index, rows))


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, without a temporary of its size where the device can do it.

    Args:
        total: Shape (m, n), in the precision of the product or float32.
        left: Shape (m, k).
        right: Shape (k, n).
    """
    if left.dtype is total.dtype:
        total.addmm_(left, right)
    elif total.dtype is torch.float32 and adds_wide(total.device):
        torch.addmm(total, left, right, out_dtype=torch.float32, out=total)
    else:
        total += left @ right


@lru_cache
def adds_wide(device: torch.device) -> bool:
    """Whether bfloat16 products can be added to float32 sums here; tried once."""
    if device.type != "cuda":
        return False
    ones = torch.ones(16, 16, dtype=torch.bfloat16, device=device)
    total = torch.ones(16, 16, dtype=torch.float32, device=device)
    try:
        torch.addmm(total, ones.T, ones, out_dtype=torch.float32, out=total)
    except (RuntimeError, TypeError, NotImplementedError):
        return False
    return bool((total == 17).all())


def who_learns(hidden: Tensor, weight: Tensor) -> tuple[bool, bool]:
    """Whose gradient is wanted: that of the states (S, H), that of the matrix (V, H)."""
    enabled = torch.is_grad_enabled()
    return enabled and hidden.requires_grad, enabled and weight.requires_grad


def chunk_rows(hidden: Tensor, weight: Tensor, chunk_logits: int | None) -> int:
    """Positions whose logits may exist at once.

    Args:
        hidden: Shape (S, H); only its device counts.
        weight: Shape (V, H).
        chunk_logits: Logits that may exist at once; chosen by device when None.
    """
    if chunk_logits is None:
        return rows_at_once(weight.shape[0], hidden.device.type)
    return max(1, chunk_logits // weight.shape[0])


def rows_at_once(vocabulary: int, device: str) -> int:
    """Positions whose logits may exist at once on this kind of device."""
    return max(1, CHUNK_LOGITS.get(device, CHUNK_LOGITS["cpu"]) // vocabulary)


def product_dtype(hidden: Tensor) -> torch.dtype:
    """In which precision states (S, H) are multiplied with the vocabulary matrix."""
    device = hidden.device.type
    if hidden.dtype is not torch.float64 and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return hidden.dtype


def _sum_dtype(weight: Tensor) -> torch.dtype:
    """Sums over chunks: a half precision would swallow what later chunks add."""
    halves = (torch.bfloat16, torch.float16)
    return torch.float32 if weight.dtype in halves else weight.dtype
