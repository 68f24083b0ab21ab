"""Causal attention within each example of a packed row: three kernels behind one signature."""

import importlib
import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from trainers.packed.block_op import block_op

# query (T, H, D), key and value (T, K, D), cu_seqlens (N + 1,) int32, longest example, scale
PackedAttention = Callable[[Tensor, Tensor, Tensor, Tensor, int, float], Tensor]


# a compiler traces calls of these and cannot look them up: the trial before the first call does
_flash_attn: Callable[..., Any] | None = None
_varlen: tuple[Callable[..., Any], frozenset[str]] | None = None


class Kernel(Enum):
    """What computes attention; the value names the implementation within transformers.

    No name may contain the words by which transformers recognises its own implementations.
    """

    FLASH_ATTN = "packed_fa2"
    VARLEN = "packed_varlen"
    VARLEN_REPEATED = "packed_varlen_repeated"
    BLOCKS = "packed_blocks"


def block_attention(
    query: Tensor, key: Tensor, value: Tensor, cu_seqlens: Tensor, longest: int, scale: float
) -> Tensor:
    """One scaled-dot-product call per example: any device and dtype, and the tests' reference.

    Args:
        query: Shape (T, H, D).
        key: Shape (T, K, D), where K divides H.
        value: Shape (T, K, D).
        cu_seqlens: Shape (N + 1,), int32; on the CPU, so that reading it waits for nothing.
        longest: Positions of the longest example; not needed here.
        scale: Factor of the scores.

    Returns:
        Shape (T, H, D).
    """
    if torch.compiler.is_compiling():
        return block_op(query, key, value, cu_seqlens, scale)
    lengths = cu_seqlens.diff().tolist()
    grouped = query.shape[1] != key.shape[1]
    parts = [
        torch.nn.functional.scaled_dot_product_attention(
            q.transpose(0, 1).unsqueeze(0),
            k.transpose(0, 1).unsqueeze(0),
            v.transpose(0, 1).unsqueeze(0),
            is_causal=True,
            scale=scale,
            enable_gqa=grouped,
        )
        for q, k, v in zip(
            query.split(lengths), key.split(lengths), value.split(lengths), strict=True
        )
    ]
    return torch.cat([part.squeeze(0).transpose(0, 1) for part in parts])


def flash_attn_attention(
    query: Tensor, key: Tensor, value: Tensor, cu_seqlens: Tensor, longest: int, scale: float
) -> Tensor:
    """The flash-attn package; shapes as in `block_attention`, half precision, all on CUDA."""
    function = load_flash_attn() if _flash_attn is None else _flash_attn
    mixed: Tensor = function(
        query,
        key,
        value,
        cu_seqlens,
        cu_seqlens,
        longest,
        longest,
        softmax_scale=scale,
        causal=True,
    )
    return mixed


def load_flash_attn() -> Callable[..., Any]:
    """The package's function for rows of examples, from now on without another import.

    Raises:
        ImportError: flash-attn is missing or broken.
    """
    global _flash_attn
    _flash_attn = importlib.import_module("flash_attn").flash_attn_varlen_func
    return _flash_attn


def varlen_attention(
    query: Tensor, key: Tensor, value: Tensor, cu_seqlens: Tensor, longest: int, scale: float
) -> Tensor:
    """torch's own kernel for the tensors of `block_attention`, in half precision on CUDA.

    Fewer key heads are handed over as they are.
    """
    function, known = load_varlen() if _varlen is None else _varlen
    grouped = query.shape[1] != key.shape[1]
    options = varlen_options(known, scale, query.shape[-1], grouped=grouped)
    mixed = function(query, key, value, cu_seqlens, cu_seqlens, longest, longest, **options)
    assert isinstance(mixed, Tensor)  # a pair only where auxiliary outputs are asked for
    return mixed


def load_varlen() -> tuple[Callable[..., Any], frozenset[str]]:
    """torch's function and the names of its parameters, from now on without another look.

    Raises:
        ImportError: this torch has none.
    """
    global _varlen
    function = importlib.import_module("torch.nn.attention.varlen").varlen_attn
    _varlen = function, frozenset(inspect.signature(function).parameters)
    return _varlen


def repeated_varlen_attention(
    query: Tensor, key: Tensor, value: Tensor, cu_seqlens: Tensor, longest: int, scale: float
) -> Tensor:
    """`varlen_attention` with every key and value head repeated for the queries that share it."""
    times = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(times, dim=1) for part in (key, value))
    return varlen_attention(query, key, value, cu_seqlens, longest, scale)


def varlen_options(
    known: frozenset[str], scale: float, head_size: int, *, grouped: bool
) -> dict[str, Any]:
    """How this torch wants to be told causal, the scale, and grouped heads.

    2.10 has `is_causal` and no scale; later versions have `window_size` and `scale`, the newest
    `enable_gqa` too, without which they refuse grouped heads.

    Args:
        known: Names of the parameters of its `varlen_attn`, as `load_varlen` gives them.
        scale: Multiplies the products of queries and keys.
        head_size: Numbers of one query of one head.
        grouped: Several query heads share a key head.

    Raises:
        ValueError: this torch cannot express what is needed.
    """
    options: dict[str, Any] = {}
    if "window_size" in known:
        options["window_size"] = (-1, 0)
    elif "is_causal" in known:
        options["is_causal"] = True
    else:
        raise ValueError("torch's varlen_attn has no causal form known here")
    if "scale" in known:
        options["scale"] = scale
    elif abs(scale * head_size**0.5 - 1.0) > 1e-6:
        raise ValueError(f"torch's varlen_attn takes no scale, and the model's is {scale:g}")
    if grouped and "enable_gqa" in known:
        options["enable_gqa"] = True
    return options


ATTENTION: dict[Kernel, PackedAttention] = {
    Kernel.FLASH_ATTN: flash_attn_attention,
    Kernel.VARLEN: varlen_attention,
    Kernel.VARLEN_REPEATED: repeated_varlen_attention,
    Kernel.BLOCKS: block_attention,
}
