"""Packed attention as an implementation that transformers calls by name.

Where a call brings `cu_seq_lens_q`, every example attends to itself alone; any other call is
answered by transformers' own SDPA, so a prepared model still takes padded rows.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from trainers.packed.kernels import ATTENTION, Kernel
from trainers.packed.row import PackedRow

# arguments by which architectures ask for more than plain causal attention
_BEYOND = ("sliding_window", "softcap", "s_aux", "position_bias")


def register() -> None:
    """Make every kernel known to transformers, under its own name; doing it twice is harmless."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    for kernel in Kernel:
        AttentionInterface.register(kernel.value, partial(packed_attention, kernel=kernel))
        AttentionMaskInterface.register(kernel.value, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])


def kernel_of(model: Any) -> Kernel | None:
    """The kernel a model was prepared for, None where it was not."""
    try:
        return Kernel(model.config._attn_implementation)
    except ValueError:
        return None


def call_arguments(row: PackedRow, kernel: Kernel) -> dict[str, Any]:
    """What the base model is called with so that no example sees another."""
    on_host = kernel is Kernel.BLOCKS
    ends = row.cu_seqlens.cpu() if on_host else row.cu_seqlens.to(row.ids.device)
    return {
        "input_ids": row.ids.unsqueeze(0),
        "position_ids": row.position_ids.unsqueeze(0),
        # a mask of four dimensions is handed through as it is; without it transformers would
        # build one of T x T from the positions, which nothing reads
        "attention_mask": torch.ones(1, 1, 1, 1, dtype=torch.bool, device=row.ids.device),
        "cu_seq_lens_q": ends,
        "cu_seq_lens_k": ends,
        "max_length_q": row.longest,
        "max_length_k": row.longest,
        "use_cache": False,
    }


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    kernel: Kernel,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each example, as transformers calls it.

    Args:
        module: The attention layer.
        query: Shape (1, H, T, D).
        key: Shape (1, K, T, D).
        value: Shape (1, K, T, D).
        attention_mask: Not read in a packed call: causality within examples says it all.
        kernel: What computes it.
        dropout: Of attention weights; none is supported.
        scaling: Factor of the scores; 1/sqrt(D) when None.
        cu_seq_lens_q: Shape (N + 1,), int32; absent in a padded call.
        max_length_q: Positions of the longest example.
        others: What else the architecture passes.

    Returns:
        Shape (1, T, H, D), and None for the weights.

    Raises:
        ValueError: the layer asks for dropout, a window, or scores changed in another way.
    """
    if cu_seq_lens_q is None or max_length_q is None:
        return _padded(module, query, key, value, attention_mask, dropout, scaling, others)
    _refuse_more_than_causal(module, dropout, others)
    narrow = _attention_dtype(query)
    query, key, value = (part[0].transpose(0, 1).to(narrow) for part in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    with torch.autocast(query.device.type, enabled=False):
        mixed = ATTENTION[kernel](query, key, value, cu_seq_lens_q, max_length_q, scale)
    return mixed.unsqueeze(0), None


def _padded(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float,
    scaling: float | None,
    others: dict[str, Any],
) -> tuple[Tensor, None]:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    output: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
    )
    return output


def _refuse_more_than_causal(
    module: torch.nn.Module, dropout: float, others: dict[str, Any]
) -> None:
    asked = [name for name in _BEYOND if others.get(name) is not None]
    if dropout:
        asked.append("dropout")
    if others.get("is_causal") is False or getattr(module, "is_causal", True) is False:
        asked.append("attention to later tokens")
    if asked:
        raise ValueError(f"packed attention cannot do what this layer asks for: {', '.join(asked)}")


def _attention_dtype(query: Tensor) -> torch.dtype:
    """What the attention runs in: rotary positions leave autocast's queries in float32."""
    device = query.device.type
    if query.dtype is torch.float64 or not torch.is_autocast_enabled(device):
        return query.dtype
    return torch.get_autocast_dtype(device)
