"""How much memory training takes, estimated from the architecture.

On CPU the estimate counts what autograd keeps of a Qwen2-like decoder; on CUDA, where rows are
packed, trainers/memory_cuda.py knows what is alive when. docs/memory.md says how close both came.
"""

from dataclasses import dataclass
from typing import Any

from core.units import MIB
from trainers.fast.head import chunk_rows
from trainers.memory_batch import ANY_BATCH, Microbatches
from trainers.memory_cuda import (
    UNMEASURED,
    Reads,
    Sizes,
    Step,
    fullest,
    kept_per_token,
    lost_bytes,
)
from trainers.packed.head_gradients import rows_at_once
from trainers.precision import FLOAT32, Precision

# logits, their softmax and its gradient live together in the backward pass
_LOGITS_COPIES = 3
# measured on CPU (benchmarks/memory.py): threads and late imports, and what the allocator cannot
# reuse between micro-batches of unlike sizes
_FIXED_OVERHEAD = 45 * MIB
_FRAGMENTATION = 0.15
# the written-out passes leave the allocator nothing to lose, but oneDNN compiles kernels for every
# length of a row in bfloat16: so much within some steps, twice that in long runs of a small model
_KERNELS = 140 * MIB
_FLOAT32 = 4


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Peak of training in bytes, by what it is for.

    Attributes:
        weights: Parameters.
        gradients: One per weight.
        moments: AdamW's two.
        activations: Kept for the backward pass of one micro-batch.
        projection: Logits of one chunk, and gradients of the output matrix in transit.
        overhead: What libraries take beside, and on CPU what the allocator cannot use again.
        copies: Weights in the format of matrix products, where that is another one.
        lost: What torch's allocator holds on CUDA and cannot use again; no part of the peak that
            is measured there, but it has to fit.
    """

    weights: int
    gradients: int
    moments: int
    activations: int
    projection: int
    overhead: int
    copies: int = 0
    lost: int = 0

    @property
    def total(self) -> int:
        """What a measurement of the peak should find."""
        state = self.weights + self.gradients + self.moments
        return state + self.activations + self.copies + self.projection + self.overhead

    @property
    def held(self) -> int:
        """What has to fit."""
        return self.total + self.lost

    @property
    def ahead(self) -> int:
        """What is still to be taken when the weights are loaded."""
        return self.held - self.weights


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What the estimate needs to know of a policy, and of what it is fed.

    Attributes:
        config: A transformers config of a decoder such as Qwen2.
        parameters: Number of parameters, tied ones once.
        device: `cpu` or `cuda`.
        precision: Number formats.
        written_out: It is trained by the written-out passes over packed rows (CPU).
        packed: It is trained on packed rows by transformers' own passes (CUDA).
        typical: Tokens of a usual example; the written-out passes keep attention weights.
        processes: How many share weights, gradients and moments.
        reads: What is computed of logits; counts for packed rows.
        fused: One kernel turns logits into their gradient; counts for packed rows.
        compiled: Layers are; counts for packed rows.
        batch: How large micro-batches get under a budget, and how much of them is read; counts
            where rows are not padded.
    """

    config: Any
    parameters: int
    device: str
    precision: Precision = FLOAT32
    written_out: bool = False
    packed: bool = False
    typical: int = 256
    processes: int = 1
    reads: Reads = Reads.LOSS
    fused: bool = False
    compiled: bool = False
    batch: Microbatches = ANY_BATCH

    @property
    def element_bytes(self) -> int:
        """Of a number in a matrix product."""
        return self.precision.compute_bytes


def estimate_memory(
    model: TrainedModel, microbatch_tokens: int, *, checkpointing: bool
) -> MemoryEstimate:
    """Estimate the peak of training.

    Args:
        model: What is trained.
        microbatch_tokens: Token positions per forward pass.
        checkpointing: Layers compute their activations again.
    """
    if model.packed:
        return _packed(model, microbatch_tokens, checkpointing=checkpointing)
    numbers, precision = model.parameters // model.processes, model.precision
    # copies of the weights in bfloat16 stay until the backward pass is done
    copies = model.parameters * precision.copy_bytes
    per_token = model_bytes_per_token(model, checkpointing=checkpointing)
    tokens = targets = microbatch_tokens
    if model.written_out:
        tokens, targets = model.batch.largest(microbatch_tokens)
    activations = tokens * per_token
    projection = _projection_bytes(model, targets)
    if model.written_out:
        beside = _KERNELS if model.element_bytes < _FLOAT32 else 0
    else:
        beside = int(_FRAGMENTATION * (activations + copies + projection))
    return MemoryEstimate(
        weights=numbers * precision.weight_bytes,
        gradients=numbers * precision.gradient_bytes,
        moments=numbers * precision.moment_bytes,
        activations=activations,
        projection=projection,
        overhead=_FIXED_OVERHEAD + beside + _gathered_bytes(model),
        copies=copies,
    )


def _packed(model: TrainedModel, microbatch_tokens: int, *, checkpointing: bool) -> MemoryEstimate:
    numbers, precision = model.parameters, model.precision
    tokens, targets = model.batch.largest(microbatch_tokens)
    sizes = Sizes.of(model.config)
    step = Step(
        sizes,
        tokens,
        targets,
        precision,
        checkpointing,
        model.reads,
        fused=model.fused,
        compiled=model.compiled,
    )
    moment = fullest(step)
    return MemoryEstimate(
        weights=numbers * precision.weight_bytes,
        gradients=numbers * precision.gradient_bytes,
        moments=numbers * precision.moment_bytes,
        activations=moment.activations,
        projection=moment.projection,
        overhead=UNMEASURED.workspace,
        copies=moment.copies,
        lost=lost_bytes(step, moment),
    )


def model_bytes_per_token(model: TrainedModel, *, checkpointing: bool = False) -> int:
    """Bytes that one token's activations take, by how the model is trained."""
    if model.packed:
        sizes = Sizes.of(model.config)
        step = Step(sizes, 1, 1, model.precision, checkpointing)
        kept = sizes.hidden * step.stream if checkpointing else kept_per_token(step)
        return sizes.layers * kept
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


def _projection_bytes(model: TrainedModel, targets: int) -> int:
    config = model.config
    vocabulary = config.vocab_size
    if model.written_out:
        # logits, their softmax in float32, and its errors; a block of rows of the head's gradient
        rows = min(targets, chunk_rows(vocabulary))
        return rows * vocabulary * (_FLOAT32 + 2 * model.element_bytes)
    rows = rows_at_once(vocabulary, "cpu")
    logits = min(targets, rows) * vocabulary * _FLOAT32 * _LOGITS_COPIES
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
