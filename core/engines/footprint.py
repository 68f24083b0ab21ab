"""What an engine takes of a GPU's memory, awake and asleep, reckoned from the model's shape."""

from dataclasses import dataclass
from typing import Any

from core.engines.gpu_options import STEP_TOKENS, Graphs
from core.units import MIB

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
BLOCK = 16  # tokens per cache block of most kernels on a GPU
_LARGEST_BLOCK = 128  # and of some
# What is not in the model's shape: buffers and workspaces of vLLM, graphs, and what CUDA takes of a
# GPU for a process of its own. Round numbers, to be on the safe side.
_LIBRARIES = 512 * MIB
_GRAPHS = {Graphs.NONE: 0, Graphs.DECODE: 256 * MIB, Graphs.COMPILED: 512 * MIB}
CONTEXT = 512 * MIB
# logits, log-probabilities and what sorts them, in float32, of all sequences at once
_SAMPLER_COPIES = 5
# sequences that transformers decodes together
HF_BATCH = 64


@dataclass(frozen=True, slots=True)
class EngineFootprint:
    """Bytes of one GPU, by what takes them.

    Attributes:
        weights: The engine's own copy.
        cache: Keys and values.
        step: Activations and logits of one step, or weights that arrive; free between two uses.
        kept: Libraries, graphs and CUDA's own: stays until the engine is closed.
        sleeps: Between two uses it gives weights and cache back.
    """

    weights: int
    cache: int
    step: int
    kept: int
    sleeps: bool = False

    @property
    def awake(self) -> int:
        """While it generates."""
        return self.weights + self.cache + self.step + self.kept

    @property
    def asleep(self) -> int:
        """While the trainer works; the same as `idle` where it does not sleep."""
        return self.kept if self.sleeps else self.idle

    @property
    def idle(self) -> int:
        """Between two uses, were it to stay awake."""
        return self.weights + self.cache + self.kept


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """What an engine has to do, as far as its memory depends on it.

    Attributes:
        name: `vllm` or `hf`.
        config: The text config of a transformers model.
        parameters: Numbers in its weights, tied ones once.
        dtype: Precision of weights and cache.
        tokens: Of prompt and response together, at most.
        sequences: Generated at the same time, at most.
        graphs: What vLLM prepares at its start.
    """

    name: str
    config: Any
    parameters: int
    dtype: str
    tokens: int
    sequences: int
    graphs: Graphs = Graphs.DECODE

    @property
    def sequence_bytes(self) -> int:
        """Cache of one sequence of full length."""
        return self._cache_of(BLOCK)

    @property
    def least_cache(self) -> int:
        """The smallest cache that vLLM starts with, whatever its kernel's blocks."""
        return self._cache_of(_LARGEST_BLOCK)

    @property
    def full_cache(self) -> int:
        """Cache for all sequences at full length."""
        return max(self.sequences * self.sequence_bytes, self.least_cache)

    def _cache_of(self, block: int) -> int:
        """One sequence in blocks, and one block more, which vLLM keeps for itself."""
        tokens = (-(-self.tokens // block) + 1) * block
        return tokens * cache_bytes_per_token(self.config, self.dtype)


def engine_footprint(
    load: EngineLoad, *, cache: int | None = None, sleeps: bool = False, own_process: bool = False
) -> EngineFootprint:
    """What the engine takes.

    Args:
        load: What it has to do.
        cache: Bytes of its cache; room for all sequences at full length when None.
        sleeps: It gives its memory back between two uses.
        own_process: It does not share the trainer's process.
    """
    element = DTYPE_BYTES[load.dtype]
    weights = load.parameters * element
    context = CONTEXT if own_process else 0
    # another process gets the weights whole, before they take the place of the old ones
    arriving = weights if own_process else 0
    if load.name == "hf":
        batch = min(load.sequences, HF_BATCH)
        step = batch * (load.sequence_bytes + load.config.vocab_size * 4 * _SAMPLER_COPIES)
        return EngineFootprint(weights, 0, max(step, arriving), context, sleeps)
    return EngineFootprint(
        weights=weights,
        cache=load.full_cache if cache is None else cache,
        step=max(_step_bytes(load, element), arriving),
        kept=_LIBRARIES + _GRAPHS[load.graphs] + context,
        sleeps=sleeps,
    )


def cache_bytes_per_token(config: Any, dtype: str) -> int:
    """Keys and values of one token in all layers."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * DTYPE_BYTES[dtype])


def _step_bytes(load: EngineLoad, element: int) -> int:
    """One layer's activations of a step of prompts, and the logits of all sequences."""
    config = load.config
    layer = STEP_TOKENS * (6 * config.hidden_size + 3 * config.intermediate_size) * element
    return int(layer + load.sequences * config.vocab_size * 4 * _SAMPLER_COPIES)
