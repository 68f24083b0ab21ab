"""Qwen2-architecture models by shape: their configuration, random weights, and files on disk."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError
from trainers.tokenizer_training import train_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a Qwen2 model; the defaults are those of the built-in base.

    Attributes:
        vocab_size: Rows of the embedding; the tokenizer may use fewer.
        tokenizer_size: Tokens the tokenizer is trained to, special ones included.
    """

    vocab_size: int = 1024
    tokenizer_size: int = 1024
    hidden_size: int = 256
    intermediate_size: int = 768
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    max_position_embeddings: int = 1024
    rope_theta: float = 10_000.0

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads


_SIZES = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "num_key_value_heads", "max_position_embeddings"),
)

# Sizes as published in the config.json of Qwen2.5-0.5B and Qwen2.5-1.5B.
SHAPES: Mapping[str, ModelShape] = {
    "tiny": ModelShape(),
    "qwen2.5-0.5b": ModelShape(151_936, 4096, 896, 4864, 24, 14, 2, 32_768, 1e6),
    "qwen2.5-1.5b": ModelShape(151_936, 4096, 1536, 8960, 28, 12, 2, 131_072, 1e6),
}


def make_model(
    shape: str,
    out_dir: Path,
    *,
    texts: Iterable[str],
    layers: int | None = None,
    seed: int = 0,
    dtype: "torch.dtype | None" = None,
) -> Path:
    """Write a random-weight model of a known shape, with a tokenizer trained on `texts`.

    Weights are drawn one after the other on their way to the file: the largest decides the memory
    this takes, not the model.

    Args:
        shape: A key of `SHAPES`.
        out_dir: Folder to write; it must be absent or empty.
        texts: Training text of the tokenizer.
        layers: Number of layers instead of the shape's own.
        seed: Seed of the weights.
        dtype: Type of the weights on disk; bfloat16 when None.

    Raises:
        UserError: unknown shape, a layer count below 1, or a folder that holds files.
    """
    chosen = find_shape(shape, layers)
    refuse_full_folder(out_dir)
    import torch

    from trainers.safetensors_stream import safetensors_bytes

    tokenizer = train_tokenizer(texts, chosen.tokenizer_size, out_dir)
    generator = torch.Generator().manual_seed(seed)
    sizes, kind = weight_shapes(chosen), dtype or torch.bfloat16
    announced = {name: torch.empty(size, dtype=kind, device="meta") for name, size in sizes.items()}
    names = {id(tensor): name for name, tensor in announced.items()}

    def drawn(tensor: torch.Tensor) -> torch.Tensor:
        return _drawn(names[id(tensor)], tuple(tensor.shape), generator).to(tensor.dtype)

    _write_configs(chosen, out_dir, kind, len(tokenizer))
    with (out_dir / "model.safetensors").open("wb") as file:
        for part in safetensors_bytes(announced, {"format": "pt"}, drawn):
            file.write(part)
    return out_dir


def find_shape(shape: str, layers: int | None = None) -> ModelShape:
    """The shape of that name, with another number of layers if given."""
    if shape not in SHAPES:
        raise UserError(f"unknown shape {shape!r}; choose one of {', '.join(SHAPES)}")
    if layers is not None and layers < 1:
        raise UserError(f"number of layers {layers} is too small; give 1 or more")
    chosen = SHAPES[shape]
    return chosen if layers is None else replace(chosen, num_hidden_layers=layers)


def qwen2_config(shape: ModelShape) -> "PretrainedConfig":
    """A transformers config of a shape, without the files that `make_model` writes."""
    from transformers import Qwen2Config

    sizes = {key: value for key, value in asdict(shape).items() if key in _SIZES}
    return Qwen2Config(**sizes, tie_word_embeddings=True, pad_token_id=None)


def refuse_full_folder(out_dir: Path) -> None:
    """Raise UserError when `out_dir` is a file or a folder that already holds something."""
    if out_dir.is_file() or (out_dir.is_dir() and any(out_dir.iterdir())):
        raise UserError(f"{out_dir} already exists and is not empty; choose a new folder")


def weight_shapes(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every parameter, under the names transformers uses."""
    hidden, mlp = shape.hidden_size, shape.intermediate_size
    heads = {"q": hidden, **dict.fromkeys("kv", shape.num_key_value_heads * shape.head_dim)}
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (shape.vocab_size, hidden)}
    for index in range(shape.num_hidden_layers):
        layer = f"model.layers.{index}"
        found[f"{layer}.input_layernorm.weight"] = (hidden,)
        for name, width in heads.items():
            found[f"{layer}.self_attn.{name}_proj.weight"] = (width, hidden)
            found[f"{layer}.self_attn.{name}_proj.bias"] = (width,)
        found[f"{layer}.self_attn.o_proj.weight"] = (hidden, hidden)
        found[f"{layer}.post_attention_layernorm.weight"] = (hidden,)
        found[f"{layer}.mlp.gate_proj.weight"] = (mlp, hidden)
        found[f"{layer}.mlp.up_proj.weight"] = (mlp, hidden)
        found[f"{layer}.mlp.down_proj.weight"] = (hidden, mlp)
    return found | {"model.norm.weight": (hidden,)}


def random_weights(shape: ModelShape, seed: int) -> "dict[str, torch.Tensor]":
    """fp32 weights: matrices from N(0, 0.02²), norms one, biases zero."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    return {name: _drawn(name, size, generator) for name, size in weight_shapes(shape).items()}


def _drawn(name: str, size: tuple[int, ...], generator: "torch.Generator") -> "torch.Tensor":
    import torch

    if len(size) == 2:
        return torch.empty(size).normal_(0.0, 0.02, generator=generator)
    return torch.ones(size) if "norm" in name else torch.zeros(size)


def save_model(
    shape: ModelShape,
    weights: "Mapping[str, torch.Tensor]",
    out_dir: Path,
    dtype: "torch.dtype",
    tokens: int,
) -> None:
    """Write `config.json`, `generation_config.json` and `model.safetensors` (tied head left out).

    Raises:
        UserError: the tokenizer has more tokens than the embedding has rows.
    """
    from safetensors.torch import save_file

    _write_configs(shape, out_dir, dtype, tokens)
    on_disk = {name: tensor.detach().to(dtype).contiguous() for name, tensor in weights.items()}
    save_file(on_disk, out_dir / "model.safetensors", metadata={"format": "pt"})


def _write_configs(shape: ModelShape, out_dir: Path, dtype: "torch.dtype", tokens: int) -> None:
    if tokens > shape.vocab_size:
        raise UserError(f"the tokenizer has {tokens} tokens, the shape only {shape.vocab_size}")
    sizes = {key: value for key, value in asdict(shape).items() if key != "tokenizer_size"}
    ids = {"eos_token_id": 0, "pad_token_id": 1}
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        **sizes,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "use_cache": True,
        "use_sliding_window": False,
        "torch_dtype": str(dtype).removeprefix("torch."),
        **ids,
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    _write_json(out_dir / "config.json", config)
    _write_json(out_dir / "generation_config.json", {"do_sample": False, **ids})


def _write_json(path: Path, value: Mapping[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
