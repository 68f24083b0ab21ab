"""How much memory training takes, estimated from the architecture, and what follows from it.

The estimate counts what autograd keeps of a Qwen2-like decoder; docs/preflight.md says how close it
came to measured peaks.
"""

from dataclasses import dataclass
from typing import Any

from core.config.schema import ActivationCheckpointing
from trainers.fast.head import chunk_rows
from trainers.memory_beside import NOTHING_BESIDE, Beside

_MIB = 2**20
_MICROBATCH_BYTES = 2**30
_FEWEST_TOKENS = 256
# on CPU small beats large where rows are padded; on CUDA launches must be worth their while
_MOST_TOKENS = {"cpu": 512, "cuda": 16384}
_MOST_WRITTEN_OUT = 4096
# logits that one chunk of the projection may hold, as in trainers/padded_head.py
_CHUNK_LOGITS = 16 * 2**20
# logits, their softmax and its gradient live together in the backward pass
_LOGITS_COPIES = 3
# measured on CPU (docs/preflight.md): threads and late imports, and what the allocator cannot reuse
# between micro-batches of unlike sizes
_FIXED_OVERHEAD = 45 * _MIB
_FRAGMENTATION = 0.15
# of the memory that is free, the estimate may fill so much
_FILLED = 0.85
_FLOAT32 = 4


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Peak of training in bytes, by what it is for.

    Attributes:
        weights: Parameters in float32.
        gradients: One per weight.
        moments: AdamW's two.
        activations: Kept for the backward pass of one micro-batch.
        projection: Logits of one chunk, and gradients of the output matrix in transit.
        overhead: What allocator and libraries take beside.
    """

    weights: int
    gradients: int
    moments: int
    activations: int
    projection: int
    overhead: int

    @property
    def total(self) -> int:
        """All of it."""
        state = self.weights + self.gradients + self.moments
        return state + self.activations + self.projection + self.overhead

    @property
    def ahead(self) -> int:
        """What is still to be allocated when the weights are loaded."""
        return self.total - self.weights


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What was decided about memory before the run.

    Attributes:
        microbatch_tokens: Token positions per forward pass.
        checkpointing: Layers compute their activations again.
        estimate: For this budget.
        available: Bytes that were free when it was decided, weights loaded; None where unknown.
        beside: What else will take of them.
    """

    microbatch_tokens: int
    checkpointing: bool
    estimate: MemoryEstimate
    available: int | None
    beside: Beside = NOTHING_BESIDE

    @property
    def fits(self) -> bool:
        """The estimate leaves some of the free memory; true where that is unknown."""
        if self.available is None:
            return True
        return self.estimate.ahead + self.beside.total <= _FILLED * self.available


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What the estimate needs to know of a policy.

    Attributes:
        config: A transformers config of a decoder such as Qwen2.
        parameters: Number of parameters, tied ones once.
        device: `cpu` or `cuda`.
        bfloat16: The forward pass runs in bfloat16 over float32 weights.
        written_out: It is trained by the written-out passes over packed rows.
        typical: Tokens of a usual example; the written-out passes keep attention weights.
        processes: How many share weights, gradients and moments.
    """

    config: Any
    parameters: int
    device: str
    bfloat16: bool = False
    written_out: bool = False
    typical: int = 256
    processes: int = 1

    @property
    def element_bytes(self) -> int:
        """Of a number in a matrix product."""
        return _FLOAT32 // 2 if self.bfloat16 else _FLOAT32


def estimate_memory(
    model: TrainedModel, microbatch_tokens: int, *, checkpointing: bool
) -> MemoryEstimate:
    """Estimate the peak of training.

    Args:
        model: What is trained.
        microbatch_tokens: Token positions per forward pass.
        checkpointing: Layers compute their activations again.
    """
    weights = model.parameters * _FLOAT32 // model.processes
    # copies of the weights in bfloat16 stay until the backward pass is done
    copies = model.parameters * _FLOAT32 // 2 if model.bfloat16 else 0
    per_token = model_bytes_per_token(model, checkpointing=checkpointing)
    activations = microbatch_tokens * per_token + copies
    projection = _projection_bytes(model, microbatch_tokens)
    return MemoryEstimate(
        weights=weights,
        gradients=weights,
        moments=2 * weights,
        activations=activations,
        projection=projection,
        overhead=_FIXED_OVERHEAD
        + int(_FRAGMENTATION * (activations + projection))
        + _gathered_bytes(model),
    )


def model_bytes_per_token(model: TrainedModel, *, checkpointing: bool = False) -> int:
    """Bytes that one token's activations take, by how the model is trained."""
    if model.written_out:
        return written_out_bytes_per_token(model, checkpointing=checkpointing)
    return activation_bytes_per_token(
        model.config, model.element_bytes, checkpointing=checkpointing
    )


def written_out_bytes_per_token(model: TrainedModel, *, checkpointing: bool = False) -> int:
    """What the written-out passes keep of one token (trainers/fast/passes.py).

    Per layer in float32 the two norms before their scaling; in the dtype of matrix products the
    queries, keys and values, attention's weights over about half of an example and its output, and
    gate and up of the MLP. The layer at work takes about as much again.
    """
    config = model.config
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    pairs = getattr(config, "num_key_value_heads", None) or heads
    narrow = 2 * (heads + pairs) * width + heads * model.typical // 2 + 2 * config.intermediate_size
    layer = 2 * config.hidden_size * _FLOAT32 + narrow * model.element_bytes
    kept = config.num_hidden_layers
    if checkpointing:
        return int(kept * config.hidden_size * _FLOAT32 + 2 * layer)
    return int((kept + 1) * layer)


def activation_bytes_per_token(
    config: Any, element_bytes: int = _FLOAT32, *, checkpointing: bool = False
) -> int:
    """Bytes that one token's activations take until the backward pass.

    Counts what autograd keeps per layer: two residual sums, the two norms before and after their
    scaling, the attention's queries, keys, values and output, and 4 tensors of the MLP's size.
    With checkpointing it is one residual sum per layer, and all of that for one layer.

    Args:
        config: A transformers config with hidden_size, intermediate_size and num_hidden_layers.
        element_bytes: Bytes per number.
        checkpointing: Layers compute their activations again.
    """
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    pairs = getattr(config, "num_key_value_heads", None) or heads
    layer = 6 * config.hidden_size + 2 * (heads + pairs) * width + 4 * config.intermediate_size
    kept = config.num_hidden_layers * (config.hidden_size if checkpointing else layer)
    return int((kept + (layer if checkpointing else 0)) * element_bytes)


def microbatch_token_budget(model: TrainedModel, longest: int) -> int:
    """Token positions per forward pass that keep activations around one GiB.

    Args:
        model: What is trained.
        longest: Tokens of the longest example, which must fit alone.
    """
    fitting = _MICROBATCH_BYTES // model_bytes_per_token(model)
    most = _MOST_WRITTEN_OUT if model.written_out else _MOST_TOKENS[model.device]
    return max(longest, min(most, max(_FEWEST_TOKENS, fitting)))


def plan_memory(
    model: TrainedModel,
    *,
    longest: int,
    wanted_tokens: int | None,
    wanted: ActivationCheckpointing,
    available: int | None,
    beside: Beside = NOTHING_BESIDE,
) -> MemoryPlan:
    """Decide the micro-batch budget and activation checkpointing from the estimate.

    A budget that nobody asked for is halved first, which costs less than computing activations
    again.

    Args:
        model: What is trained.
        longest: Tokens of the longest example.
        wanted_tokens: A budget that was asked for or recorded earlier.
        wanted: The setting `train.activation_checkpointing`.
        available: Bytes that are free, weights loaded; None where unknown.
        beside: What else will take of them.
    """
    on = wanted is ActivationCheckpointing.ON

    def plan(tokens: int, checkpointing: bool) -> MemoryPlan:
        estimate = estimate_memory(model, tokens, checkpointing=checkpointing)
        return MemoryPlan(tokens, checkpointing, estimate, available, beside)

    first = wanted_tokens or microbatch_token_budget(model, longest)
    found = plan(first, on)
    while wanted_tokens is None and not found.fits:
        if found.microbatch_tokens <= max(longest, _FEWEST_TOKENS):
            break
        found = plan(max(longest, found.microbatch_tokens // 2), on)
    if not found.fits and wanted is ActivationCheckpointing.AUTO:
        found = plan(found.microbatch_tokens, True)
    return found


def describe_memory(plan: MemoryPlan) -> str:
    """One sentence with the estimate and its parts."""
    estimate = plan.estimate
    again = ", computed again in the backward pass" if plan.checkpointing else ""
    text = (
        f"training will take about {_mib(estimate.total)}: weights {_mib(estimate.weights)}, "
        f"gradients {_mib(estimate.gradients)}, moments {_mib(estimate.moments)}, activations of "
        f"{plan.microbatch_tokens:,} tokens {_mib(estimate.activations)}{again}, output layer "
        f"{_mib(estimate.projection)}, the rest {_mib(estimate.overhead)}; beside it, "
        f"{plan.beside.described}"
    )
    if plan.available is None:
        return text
    free = f"{_mib(plan.available)} are free with the weights loaded"
    if plan.fits:
        return f"{text}; {free}"
    return (
        f"{text}; only {free}, so it may run out: lower --max-length or train.microbatch_tokens, "
        "or take a smaller model"
    )


def _projection_bytes(model: TrainedModel, microbatch_tokens: int) -> int:
    config = model.config
    vocabulary = config.vocab_size
    if model.written_out:
        # logits, their softmax in float32, and its errors; a block of rows of the head's gradient
        rows = min(microbatch_tokens, chunk_rows(vocabulary))
        return rows * vocabulary * (_FLOAT32 + 2 * model.element_bytes)
    rows = max(1, _CHUNK_LOGITS // vocabulary)
    logits = min(microbatch_tokens, rows) * vocabulary * _FLOAT32 * _LOGITS_COPIES
    # in transit besides the gradient itself: the sum over chunks and the chunk's own, and where
    # input and output share the matrix, that of the input
    matrices = 3 if config.tie_word_embeddings else 2
    return logits + matrices * vocabulary * config.hidden_size * _FLOAT32


def _gathered_bytes(model: TrainedModel) -> int:
    """Of shared weights, what is whole at a time, with its gradients: the embeddings, 2 layers."""
    if model.processes == 1:
        return 0
    config = model.config
    matrices = 1 if config.tie_word_embeddings else 2
    embeddings = matrices * config.vocab_size * config.hidden_size
    layers = 2 * max(0, model.parameters - embeddings) // config.num_hidden_layers
    return 2 * (embeddings + layers) * _FLOAT32


def _mib(count: float) -> str:
    return f"{count / _MIB:,.0f} MiB"
