"""The weights of a Llama-like transformers model as the written-out passes read them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainers.fast.attention import Heads
from trainers.fast.ops import Rotation

_ARCHITECTURES = ("qwen2", "llama")
# rotary embeddings whose frequencies do not depend on the length of the input
_ROTARY_TYPES = ("default", "linear", "llama3", "yarn")


@dataclass(slots=True)
class Layer:
    """Parameters of one decoder layer, and copies in the dtype of the matrix products.

    The copies are `None` until `Weights.refresh` makes them; where no copy is needed they are the
    parameters themselves. Queries, keys and values are one product, so theirs always is a copy.

    Attributes:
        qkv: Shape (Q + 2 K, H): rows of queries, keys and values, for Q and K numbers of a token.
        qkv_bias: Shape (Q + 2 K,); None where there is none.
        narrow: Output, gate, up and down, each in the shape of its parameter.
    """

    first_norm: nn.Parameter
    second_norm: nn.Parameter
    projections: tuple[nn.Linear, nn.Linear, nn.Linear]
    output: nn.Parameter
    gate: nn.Parameter
    up: nn.Parameter
    down: nn.Parameter
    qkv: Tensor | None = None
    qkv_bias: Tensor | None = None
    narrow: tuple[Tensor, ...] = ()

    def parameters(self) -> Iterator[nn.Parameter]:
        """Everything of this layer."""
        yield from (self.first_norm, self.second_norm, self.output, self.gate, self.up, self.down)
        for projection in self.projections:
            yield from projection.parameters()


@dataclass(slots=True)
class Weights:
    """A whole model; parameters in float64, float32 or bfloat16.

    Attributes:
        embedding: Shape (V, H).
        head: Shape (V, H); may be the embedding itself.
        last_norm: Shape (H,).
        layers: In order.
        heads: Sizes of attention.
        epsilon: Of every norm.
        narrow: Dtype of matrix products.
    """

    model: Any
    embedding: nn.Parameter
    head: nn.Parameter
    last_norm: nn.Parameter
    layers: list[Layer]
    heads: Heads
    epsilon: float
    narrow: torch.dtype
    head_copy: Tensor | None = None
    _versions: tuple[tuple[int, int], ...] = ()

    @property
    def wide(self) -> torch.dtype:
        """Dtype of the residual stream: that of the parameters, but float32 above bfloat16 ones."""
        return torch.promote_types(self.embedding.dtype, torch.float32)

    def refresh(self) -> None:
        """Make the copies again where a parameter has changed since they were made."""
        parameters = [self.embedding, self.head, *(p for x in self.layers for p in x.parameters())]
        versions = tuple((p._version, p.data_ptr()) for p in parameters)
        if versions == self._versions:
            return
        self._versions = versions
        self.head_copy = self.head.detach().to(self.narrow)
        for layer in self.layers:
            layer.qkv = torch.cat([p.weight.detach().to(self.narrow) for p in layer.projections])
            biases = [p.bias for p in layer.projections]
            layer.qkv_bias = (
                None
                if biases[0] is None
                else torch.cat([b.detach().to(self.narrow) for b in biases])
            )
            layer.narrow = tuple(
                weight.detach().to(self.narrow)
                for weight in (layer.output, layer.gate, layer.up, layer.down)
            )

    def rotation(self, positions: Tensor) -> Rotation:
        """Cosines and sines, shape (T, 1, D / 2), for tokens at positions of shape (T,)."""
        rotary = self.model.model.rotary_emb
        angles = positions[:, None].to(self.wide) * rotary.inv_freq.to(self.wide)
        cosine, sine = (
            angles.cos() * rotary.attention_scaling,
            angles.sin() * rotary.attention_scaling,
        )
        return Rotation(cosine[:, None].to(self.narrow), sine[:, None].to(self.narrow))


def refusal(model: Any) -> str | None:
    """Why the written-out passes cannot stand in for this model; None when they can."""
    config = model.config
    if config.model_type not in _ARCHITECTURES:
        return f"{config.model_type} is not one of {', '.join(_ARCHITECTURES)}"
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}, not silu"
    if getattr(config, "attention_dropout", 0.0):
        return "it uses attention dropout"
    if getattr(config, "use_sliding_window", False):
        return "it uses sliding-window attention"
    rope = getattr(model.model.rotary_emb, "rope_type", "default")
    if rope not in _ROTARY_TYPES:
        return f"its rotary embedding is of type {rope}"
    biased = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module.bias is not None
        and not name.endswith(("q_proj", "k_proj", "v_proj"))
    ]
    if biased:
        return f"{biased[0]} has a bias"
    if type(model.model.layers[0].self_attn.q_proj) is not nn.Linear:
        return "its layers are wrapped by adapters"
    return None


def read_weights(model: Any, narrow: torch.dtype) -> Weights:
    """Look the parameters up.

    Args:
        model: A transformers causal language model that `refusal` accepts.
        narrow: Dtype of matrix products; that of the parameters, or bfloat16.
    """
    config = model.config
    queries = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // queries
    return Weights(
        model=model,
        embedding=model.model.embed_tokens.weight,
        head=model.lm_head.weight,
        last_norm=model.model.norm.weight,
        layers=[_layer(module) for module in model.model.layers],
        heads=Heads(queries, config.num_key_value_heads, width),
        epsilon=config.rms_norm_eps,
        narrow=narrow,
    )


def _layer(module: Any) -> Layer:
    attention, mlp = module.self_attn, module.mlp
    return Layer(
        first_norm=module.input_layernorm.weight,
        second_norm=module.post_attention_layernorm.weight,
        projections=(attention.q_proj, attention.k_proj, attention.v_proj),
        output=attention.o_proj.weight,
        gate=mlp.gate_proj.weight,
        up=mlp.up_proj.weight,
        down=mlp.down_proj.weight,
    )
