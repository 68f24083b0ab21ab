"""The plainest form of a Llama-like model: padded, masked, full logits, torch's own gradients."""

from collections.abc import Sequence
from typing import Any

import torch

from trainers.tokenization import Example


def target_log_probs(model: Any, examples: Sequence[Example]) -> list[torch.Tensor]:
    """Log-probabilities of each example's targets, in float64; one row per example."""
    longest = max(len(e.token_ids) for e in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.int64)
    for row, example in enumerate(examples):
        ids[row, : len(example.token_ids)] = torch.tensor(example.token_ids)
    lengths = torch.tensor([len(e.token_ids) for e in examples])
    table = torch.log_softmax(logits(model, ids, lengths), dim=-1)
    return [
        torch.stack(
            [
                table[row, place - 1, example.token_ids[place]]
                for place in range(1, len(example.token_ids))
                if example.supervised[place]
            ]
            or [torch.zeros((), dtype=torch.float64)]
        )
        for row, example in enumerate(examples)
    ]


def logits(model: Any, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """(B, T) ids and B lengths -> (B, T, V); every parameter of the model must be float64."""
    config, weights = model.config, dict(model.named_parameters())
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    width = config.hidden_size // heads
    total = ids.shape[1]
    seen = torch.tril(torch.ones(total, total, dtype=torch.bool))
    seen = seen[None, None] & (torch.arange(total) < lengths[:, None])[:, None, None, :]
    # what the model rotates by was rounded to float32 when it was made
    frequency = model.model.rotary_emb.inv_freq.double()
    angle = torch.outer(torch.arange(total, dtype=torch.float64), frequency)

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        y = torch.einsum("bti,oi->bto", x, weights[f"{name}.weight"])
        return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return weights[f"{name}.weight"] * x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()

    def turn(x: torch.Tensor) -> torch.Tensor:
        left, right = x[..., : width // 2], x[..., width // 2 :]
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)

    x = weights["model.embed_tokens.weight"][ids]
    for index in range(config.num_hidden_layers):
        layer = f"model.layers.{index}"
        h = norm(x, f"{layer}.input_layernorm")
        query = turn(linear(h, f"{layer}.self_attn.q_proj").unflatten(-1, (heads, width)))
        key = turn(linear(h, f"{layer}.self_attn.k_proj").unflatten(-1, (groups, width)))
        value = linear(h, f"{layer}.self_attn.v_proj").unflatten(-1, (groups, width))
        key, value = (part.repeat_interleave(heads // groups, 2) for part in (key, value))
        scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / width**0.5
        shares = torch.softmax(scores.masked_fill(~seen, float("-inf")), -1)
        mixed = torch.einsum("bhqk,bkhd->bqhd", shares, value).flatten(2)
        x = x + linear(mixed, f"{layer}.self_attn.o_proj")
        h = norm(x, f"{layer}.post_attention_layernorm")
        gate = linear(h, f"{layer}.mlp.gate_proj")
        x = x + linear(
            gate * torch.sigmoid(gate) * linear(h, f"{layer}.mlp.up_proj"), f"{layer}.mlp.down_proj"
        )
    head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    return norm(x, "model.norm") @ head.T
