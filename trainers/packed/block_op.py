"""Separate attention calls per example as one operator, which a compiler takes as it stands.

Where examples end is read on the host, which no graph can hold. `torch.compile` therefore sees an
operator of its own with a gradient of its own; nothing else calls it.
"""

import torch
from torch import Tensor


@torch.library.custom_op("a5ctl::block_attention", mutates_args=())
def block_op(query: Tensor, key: Tensor, value: Tensor, cu_seqlens: Tensor, scale: float) -> Tensor:
    """As `kernels.block_attention`: query (T, H, D), key and value (T, K, D) -> (T, H, D)."""
    from trainers.packed.kernels import block_attention

    return block_attention(query, key, value, cu_seqlens, 0, scale).contiguous()


@block_op.register_fake
def _fake(query: Tensor, key: Tensor, value: Tensor, cu_seqlens: Tensor, scale: float) -> Tensor:
    return query.new_empty(query.shape)


@torch.library.custom_op("a5ctl::block_attention_backward", mutates_args=())
def _backward_op(
    upstream: Tensor, query: Tensor, key: Tensor, value: Tensor, cu_seqlens: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Of softmax(scale q k) v: p is computed again, example by example."""
    lengths = cu_seqlens.diff().tolist()
    pulls, queries, keys, values = (part.split(lengths) for part in (upstream, query, key, value))
    parts = [_one_example(*each, scale) for each in zip(pulls, queries, keys, values, strict=True)]
    of_query, of_key, of_value = (torch.cat(each) for each in zip(*parts, strict=True))
    return of_query, of_key, of_value


def _one_example(
    upstream: Tensor, query: Tensor, key: Tensor, value: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """ds = p (dp - sum dp p), where dp = upstream v; heads that share keys stand side by side."""
    length, heads, size = query.shape
    groups = key.shape[1]
    wide = torch.promote_types(query.dtype, torch.float32)
    # (T, H, D) -> (K, H / K, T, D), and (T, K, D) -> (K, 1, T, D)
    split = (length, groups, heads // groups, size)
    pulls, queries = (part.to(wide).view(split).permute(1, 2, 0, 3) for part in (upstream, query))
    keys, values = (part.to(wide).transpose(0, 1).unsqueeze(1) for part in (key, value))
    later = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(1)
    scores = (queries @ keys.transpose(-1, -2) * scale).masked_fill_(later, -torch.inf)
    shares = scores.softmax(-1)
    of_shares = pulls @ values.transpose(-1, -2)
    of_scores = shares * (of_shares - (of_shares * shares).sum(-1, keepdim=True)) * scale
    of_queries = (of_scores @ keys).permute(2, 0, 1, 3).reshape(query.shape)
    of_keys = (of_scores.transpose(-1, -2) @ queries).sum(1).transpose(0, 1)
    of_values = (shares.transpose(-1, -2) @ pulls).sum(1).transpose(0, 1)
    return (
        of_queries.to(query.dtype),
        of_keys.to(key.dtype).contiguous(),
        of_values.to(value.dtype).contiguous(),
    )


@_backward_op.register_fake
def _fake_backward(
    upstream: Tensor, query: Tensor, key: Tensor, value: Tensor, cu_seqlens: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    return query.new_empty(query.shape), key.new_empty(key.shape), value.new_empty(value.shape)


def _remember(ctx, inputs, output):  # type: ignore[no-untyped-def]
    *tensors, scale = inputs
    ctx.save_for_backward(*tensors)
    ctx.scale = scale


def _pull(ctx, upstream):  # type: ignore[no-untyped-def]
    grads = _backward_op(upstream, *ctx.saved_tensors, ctx.scale)
    return *grads, None, None


block_op.register_autograd(_pull, setup_context=_remember)
