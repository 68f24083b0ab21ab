"""Causal attention over packed rows, written out as matrix products in blocks of queries.

For rows of some hundred tokens this is faster on CPUs than torch's fused kernel, forward and above
all backward. Softmax and its gradient follow Vaswani et al. 2017; blocks only leave out keys that
the causal mask hides.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from trainers.fast.layout import Block, PackedRow

_QUERIES = 64  # per block: 32 to 128 were alike, 256 computes too much of what is masked


@dataclass(frozen=True, slots=True)
class Heads:
    """Sizes of attention; a row of `qkv` holds all queries, then all keys, then all values.

    Attributes:
        queries: Query heads.
        groups: Key and value heads; `queries` is a multiple of it.
        width: D, numbers per head.
    """

    queries: int
    groups: int
    width: int

    @property
    def shared(self) -> int:
        """Query heads that share one key head."""
        return self.queries // self.groups

    @property
    def query_size(self) -> int:
        """Numbers of a row that are queries."""
        return self.queries * self.width

    @property
    def size(self) -> int:
        """Numbers of a row of `qkv`."""
        return (self.queries + 2 * self.groups) * self.width


@dataclass(frozen=True, slots=True)
class _Kept:
    """Of B rows with L queries and K = prefix + L keys, for the backward pass.

    Attributes:
        queries: Shape (B * groups, L * shared, D).
        keys: Shape (B * groups, K, D).
        values: The same shape.
        weights: Per block of queries, (B * groups, block * shared, keys seen).
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    weights: list[Tensor]


@dataclass(frozen=True, slots=True)
class Attended:
    """What attention over a packed row keeps, block by block."""

    blocks: tuple[_Kept, ...]


def attention(qkv: Tensor, row: PackedRow, heads: Heads) -> tuple[Tensor, Attended]:
    """Every token attends to what its example shares with others and to its own up to itself.

    Args:
        qkv: Shape (T, (queries + 2 groups) D), rotated; queries divided by sqrt(D) already.
        row: Where the examples are.
        heads: Sizes.

    Returns:
        Shape (T, queries D), and what the backward pass needs.
    """
    out = qkv.new_empty(row.tokens, heads.query_size)
    kept = []
    for block in row.blocks:
        padded = qkv.index_select(0, block.to_padded).view(-1, block.longest, heads.size)
        mixed, one = _forward(padded, _context(qkv, block), heads)
        flat, own = mixed.view(-1, heads.query_size), out[block.start : block.end]
        torch.index_select(flat, 0, block.from_padded, out=own)
        kept.append(one)
    out[row.filled :] = 0.0
    return out, Attended(tuple(kept))


def attention_backward(gradient: Tensor, kept: Attended, row: PackedRow, heads: Heads) -> Tensor:
    """Gradient of `qkv`, from that of the output, shape (T, queries D)."""
    result = gradient.new_empty(row.tokens, heads.size)
    # keys and values that several blocks read: their gradients add up, and sums are kept wide
    wide = torch.promote_types(gradient.dtype, torch.float32)
    shared = gradient.new_zeros(row.shared, 2, heads.groups, heads.width, dtype=wide)
    for block, one in zip(row.blocks, kept.blocks, strict=True):
        padded = gradient.new_zeros(len(block.lengths) * block.longest, heads.query_size)
        padded.index_copy_(0, block.from_padded, gradient[block.start : block.end])
        rows, from_context = _backward(padded.view(-1, block.longest, heads.query_size), one, heads)
        flat, own = rows.view(-1, heads.size), result[block.start : block.end]
        torch.index_select(flat, 0, block.from_padded, out=own)
        parts = from_context.split([len(part) for part in block.context])
        for place, part in zip(block.context, parts, strict=True):
            shared[place.start : place.stop] += part
    result[row.filled :] = 0.0
    keys_values = result[: row.shared, heads.query_size :]
    keys_values += shared.reshape(keys_values.shape)
    return result


def _context(qkv: Tensor, block: Block) -> Tensor | None:
    """What every sequence of a block continues, shape (P, size); None where it is nothing."""
    parts = [qkv[part.start : part.stop] for part in block.context]
    return None if not parts else parts[0] if len(parts) == 1 else torch.cat(parts)


def _forward(rows: Tensor, prefix: Tensor | None, heads: Heads) -> tuple[Tensor, _Kept]:
    """Causal attention of (B, L, size) rows that all continue one prefix of (P, size)."""
    batch, length, _ = rows.shape
    queries = _split_queries(rows[:, :, : heads.query_size], heads)
    keys, values = _keys_and_values(rows, prefix, heads)
    known = keys.shape[1] - length
    out, weights = torch.empty_like(queries), []
    for start in range(0, length, _QUERIES):
        end = min(length, start + _QUERIES)
        block = slice(start * heads.shared, end * heads.shared)
        scores = torch.bmm(queries[:, block], keys[:, : known + end].transpose(1, 2))
        recent = scores.view(-1, end - start, heads.shared, known + end)[..., known + start :]
        recent += _future(end - start, scores.dtype)
        weights.append(torch.softmax(scores, -1))
        out[:, block] = torch.bmm(weights[-1], values[:, : known + end])
    return _join_queries(out, batch, heads), _Kept(queries, keys, values, weights)


def _backward(gradient: Tensor, kept: _Kept, heads: Heads) -> tuple[Tensor, Tensor]:
    """Gradients of the rows (B, L, size), and of the prefix' keys and values (P, 2, groups, D)."""
    batch, length, _ = gradient.shape
    known = kept.keys.shape[1] - length
    outer = _split_queries(gradient, heads)
    queries = torch.empty_like(kept.queries)
    # sums over blocks of queries are kept wide
    wide = torch.promote_types(gradient.dtype, torch.float32)
    both = torch.zeros(2, *kept.keys.shape, dtype=wide)
    for weights, start in zip(kept.weights, range(0, length, _QUERIES), strict=True):
        end = min(length, start + _QUERIES)
        block, seen = slice(start * heads.shared, end * heads.shared), slice(known + end)
        part = outer[:, block]
        both[1][:, seen] += torch.bmm(weights.transpose(1, 2), part)
        change = torch.bmm(part, kept.values[:, seen].transpose(1, 2))
        scores = torch._softmax_backward_data(change, weights, -1, weights.dtype)
        queries[:, block] = torch.bmm(scores, kept.keys[:, seen])
        both[0][:, seen] += torch.bmm(scores.transpose(1, 2), kept.queries[:, block])
    result = gradient.new_empty(batch, length, heads.size)
    result[:, :, : heads.query_size] = _join_queries(queries, batch, heads)
    both = both.view(2, batch, heads.groups, known + length, heads.width)
    own = result[:, :, heads.query_size :].view(batch, length, 2, heads.groups, heads.width)
    own.copy_(both[:, :, :, known:].permute(1, 3, 0, 2, 4))
    return result, both[:, :, :, :known].sum(1).permute(2, 0, 1, 3)


def _split_queries(rows: Tensor, heads: Heads) -> Tensor:
    """(B, L, queries D) -> (B groups, L shared, D): query heads of one key head lie together."""
    batch, length, _ = rows.shape
    parts = rows.reshape(batch, length, heads.groups, heads.shared, heads.width)
    return parts.transpose(1, 2).reshape(batch * heads.groups, -1, heads.width)


def _join_queries(parts: Tensor, batch: int, heads: Heads) -> Tensor:
    """The inverse of `_split_queries`."""
    split = parts.view(batch, heads.groups, -1, heads.shared, heads.width)
    return split.transpose(1, 2).reshape(batch, -1, heads.query_size)


def _keys_and_values(rows: Tensor, prefix: Tensor | None, heads: Heads) -> tuple[Tensor, Tensor]:
    batch, length, _ = rows.shape
    known = 0 if prefix is None else prefix.shape[0]
    both = rows.new_empty(2, batch, heads.groups, known + length, heads.width)
    own = rows[:, :, heads.query_size :].view(batch, length, 2, heads.groups, heads.width)
    both[:, :, :, known:] = own.permute(2, 0, 3, 1, 4)
    if prefix is not None:
        shared = prefix[:, heads.query_size :].view(known, 2, 1, heads.groups, heads.width)
        both[:, :, :, :known] = shared.permute(1, 2, 3, 0, 4)
    flat = both.view(2, batch * heads.groups, known + length, heads.width)
    return flat[0], flat[1]


@lru_cache(maxsize=256)
def _future(length: int, dtype: torch.dtype) -> Tensor:
    """Shape (length, 1, length): minus infinity where a key lies behind its query."""
    mask = torch.full((length, length), -math.inf, dtype=dtype).triu_(1)
    return mask[:, None]
