"""A Qwen2 forward pass as one function over a dictionary of weights; used for pretraining alone."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812

from trainers.random_model import ModelShape


def forward(
    weights: Mapping[str, torch.Tensor], shape: ModelShape, ids: torch.Tensor
) -> torch.Tensor:
    """Logits of a Qwen2 model, (rows, length) ids -> (rows, length, vocabulary).

    Attention is written out: for rows this short it is faster on CPUs than the fused kernel.
    """
    rows, length = ids.shape
    heads, groups, width = shape.num_attention_heads, shape.num_key_value_heads, shape.head_dim
    embedding = weights["model.embed_tokens.weight"]
    cos, sin, mask = _tables(length, width, shape.rope_theta, embedding.dtype)
    x = F.embedding(ids, embedding)

    def normed(name: str) -> torch.Tensor:
        return F.rms_norm(x, (shape.hidden_size,), weights[name + ".weight"], 1e-6)

    def split(h: torch.Tensor, name: str, count: int) -> torch.Tensor:
        projected = F.linear(h, weights[name + ".weight"], weights[name + ".bias"])
        return projected.view(rows, length, count, width).transpose(1, 2)

    for index in range(shape.num_hidden_layers):
        layer = f"model.layers.{index}"
        h = normed(f"{layer}.input_layernorm")
        query = _rotate(split(h, f"{layer}.self_attn.q_proj", heads), cos, sin)
        key = _rotate(split(h, f"{layer}.self_attn.k_proj", groups), cos, sin)
        value = split(h, f"{layer}.self_attn.v_proj", groups)
        key, value = (part.repeat_interleave(heads // groups, 1) for part in (key, value))
        scores = (query * width**-0.5) @ key.transpose(-1, -2) + mask
        mixed = (torch.softmax(scores, -1) @ value).transpose(1, 2).reshape(x.shape)
        x = x + F.linear(mixed, weights[f"{layer}.self_attn.o_proj.weight"])
        h = normed(f"{layer}.post_attention_layernorm")
        gate = F.silu(F.linear(h, weights[f"{layer}.mlp.gate_proj.weight"]))
        up = F.linear(h, weights[f"{layer}.mlp.up_proj.weight"])
        x = x + F.linear(gate * up, weights[f"{layer}.mlp.down_proj.weight"])
    return F.linear(normed("model.norm"), embedding)


def _tables(
    length: int, width: int, theta: float, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cosines and sines of the rotary embedding (length, width), and the causal mask."""
    frequencies = theta ** (-torch.arange(0, width, 2) / width)
    angles = torch.outer(torch.arange(length).float(), frequencies).repeat(1, 2)
    mask = torch.full((length, length), float("-inf")).triu(1)
    return angles.cos().to(dtype), angles.sin().to(dtype), mask.to(dtype)


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin
