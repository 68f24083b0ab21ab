"""How much memory a training step takes on CUDA: what is alive at its fullest moments.

It counts what torch's allocator hands out (`torch.cuda.memory_allocated`) while a packed row goes
through a decoder such as Qwen2 in transformers. Weights, gradients and moments are there all the
time; beside them one of these moments is the fullest:

    output    the end of the forward pass: everything kept for the backward pass, and a chunk of
              logits with what is computed from it
    head      right behind: the gradient of the vocabulary matrix is there twice
    layer     the backward pass of a layer, with what it computes again under checkpointing
    input     the end of the backward pass: both gradients of a tied embedding

`benchmarks/gpu_memory.py` follows the program's own steps at true shapes and compares.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from core.config.schema import RunKind
from core.units import MIB
from trainers.packed.head_gradients import rows_at_once
from trainers.precision import MIXED, Precision

_FLOAT32 = 4


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """What no source and no follower tells: guesses until a GPU has measured them.

    `python benchmarks/gpu_memory.py` on a GPU says what they should be.

    Attributes:
        context: Bytes that CUDA and its libraries take of a device before the first tensor.
        card: Share of the memory in a GPU's name that its driver hands out.
        workspace: Bytes that matrix products keep for themselves in torch's allocator.
        lost: Share of activations that the allocator holds and cannot use, from a simulation.
        lost_heads: Vocabulary matrices in float32 that it holds and cannot use, likewise.
    """

    context: int = 600 * MIB
    card: float = 0.985
    workspace: int = 64 * MIB
    lost: float = 0.1
    lost_heads: float = 1.4


UNMEASURED = Unmeasured()


class Reads(Enum):
    """What is computed of logits besides their gradient; the value says it in words."""

    LOSS = "a loss with a known slope"
    TOKENS = "log-probabilities, with a slope for each"
    ENTROPIES = "log-probabilities and entropies, with a slope for each"


def reads_of(kind: RunKind) -> Reads:
    """What a method computes of logits."""
    return {RunKind.DPO: Reads.TOKENS, RunKind.GRPO: Reads.ENTROPIES}.get(kind, Reads.LOSS)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of a decoder: H, I, query and key widths, heads, layers L, vocabulary V."""

    hidden: int
    inner: int
    queries: int
    keys: int
    heads: int
    layers: int
    vocabulary: int
    tied: bool

    @classmethod
    def of(cls, config: Any) -> "Sizes":
        """Those of a transformers config."""
        heads = config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        pairs = getattr(config, "num_key_value_heads", None) or heads
        return cls(
            config.hidden_size,
            config.intermediate_size,
            heads * width,
            pairs * width,
            heads,
            config.num_hidden_layers,
            config.vocab_size,
            bool(config.tie_word_embeddings),
        )

    @property
    def layer_matrices(self) -> int:
        """Numbers in the matrices and biases of one layer."""
        attention = 2 * self.hidden * (self.queries + self.keys) + self.queries + 2 * self.keys
        return attention + 3 * self.hidden * self.inner

    @property
    def parameters(self) -> int:
        """Numbers in all weights, a tied matrix once."""
        embeddings = (1 if self.tied else 2) * self.vocabulary * self.hidden
        return self.layers * (self.layer_matrices + 2 * self.hidden) + embeddings + self.hidden


@dataclass(frozen=True, slots=True)
class Step:
    """One forward and backward pass over a packed row.

    Attributes:
        sizes: Of the model.
        tokens: Positions of the row.
        targets: How many of them are read.
        precision: Number formats.
        checkpointing: Layers compute their activations again.
        reads: What is computed of logits.
        fused: One kernel turns logits into their gradient (trainers/packed/fused_loss.py).
        compiled: Layers are (trainers/packed/compiled.py).
    """

    sizes: Sizes
    tokens: int
    targets: int
    precision: Precision = MIXED
    checkpointing: bool = False
    reads: Reads = Reads.LOSS
    fused: bool = False
    compiled: bool = False

    @property
    def stream(self) -> int:
        """Bytes of a number in the residual stream: autocast leaves it as wide as the weights."""
        return self.precision.weight_bytes


@dataclass(frozen=True, slots=True)
class Moment:
    """What is alive beside weights, gradients and moments.

    Attributes:
        name: Of the moment.
        activations: Kept for the backward pass, and of the layer at work.
        copies: Weights in the narrower format of matrix products.
        projection: Logits and what is computed of them, gradients of the vocabulary matrix.
    """

    name: str
    activations: int
    copies: int
    projection: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.activations + self.copies + self.projection


def fullest(step: Step) -> Moment:
    """The moment of a pass at which the most is alive."""
    moments = (_output(step), _head(step), _layer(step), _input(step))
    return max(moments, key=lambda moment: moment.total)


def kept_per_token(step: Step) -> int:
    """Bytes that the forward pass of one layer keeps of a token.

    Under autocast every matrix product makes a copy of its own of what it multiplies, so the input
    of the attention is there three times, and that of the MLP twice.
    """
    sizes, narrow, wide = step.sizes, step.precision.compute_bytes, step.stream
    if step.compiled:
        return _compiled_per_token(step)
    mlp = 4 * sizes.inner * narrow
    attention = 2 * (sizes.queries + sizes.keys) * narrow + sizes.heads * _FLOAT32
    if step.precision.autocast:
        # two sums of the residual stream, both of them normalized, and five copies
        return mlp + attention + 4 * sizes.hidden * wide + 5 * sizes.hidden * narrow
    if wide < _FLOAT32:
        # of each norm: its input in float32, that normalized, and that scaled
        return mlp + attention + 2 * sizes.hidden * (_FLOAT32 + 2 * wide)
    return mlp + attention + sizes.queries * wide + 6 * sizes.hidden * wide


def _compiled_per_token(step: Step) -> int:
    """The same of a compiled layer, whose cheap operations are done again in the backward pass.

    What is kept are the layer's input, and what products read or write: both norms, queries, keys,
    values, the attention and its projection, and three tensors of the MLP's width.
    """
    sizes, narrow = step.sizes, step.precision.compute_bytes
    attention = 2 * (sizes.queries + sizes.keys) * narrow + sizes.heads * _FLOAT32
    norms = sizes.hidden * (3 * narrow + step.stream) + 2 * _FLOAT32
    return 3 * sizes.inner * narrow + attention + norms


def lost_bytes(step: Step, moment: Moment) -> int:
    """What the allocator holds beside what it hands out."""
    head = step.sizes.vocabulary * step.sizes.hidden * _FLOAT32
    return int(UNMEASURED.lost * moment.activations + UNMEASURED.lost_heads * head)


def _output(step: Step) -> Moment:
    """The gradient of the vocabulary matrix is summed up in float32."""
    precision, head = step.precision, step.sizes.vocabulary * step.sizes.hidden
    return Moment(
        "output",
        _kept(step) + _states(step),
        step.sizes.layers * _layer_copies(step),
        head * (precision.copy_bytes + _FLOAT32) + _chunk_bytes(step),
    )


def _head(step: Step) -> Moment:
    """The sum is rounded to the format of the weights, or multiplied by the slope of the loss."""
    sizes, wide = step.sizes, step.precision.weight_bytes
    rounded = 0 if wide == _FLOAT32 else _FLOAT32 + wide
    multiplied = 0 if step.fused else 2 * wide
    return Moment(
        "head",
        _kept(step) + _states(step),
        0 if step.checkpointing else sizes.layers * _layer_copies(step),
        sizes.vocabulary * sizes.hidden * max(rounded, multiplied),
    )


def _states(step: Step) -> int:
    """Hidden states that are read, and their gradients."""
    return 2 * step.targets * step.sizes.hidden * step.stream


def _layer(step: Step) -> Moment:
    """The last layer's MLP: gradients of gate and up, and of the residual stream."""
    sizes, wide = step.sizes, step.stream
    at_work = 2 * sizes.inner * step.precision.compute_bytes
    if step.checkpointing:
        # where norms work on the stream itself, the first sum of a layer is among those kept
        gradient = 0 if wide == _FLOAT32 else sizes.hidden * wide
        per_token = sizes.layers * sizes.hidden * wide + kept_per_token(step) + gradient
    else:
        per_token = sizes.layers * kept_per_token(step) + 2 * sizes.hidden * wide
    return Moment(
        "layer",
        step.tokens * (per_token + at_work) + _positions(step),
        (1 if step.checkpointing else sizes.layers) * _layer_copies(step),
        sizes.vocabulary * sizes.hidden * step.precision.weight_bytes,
    )


def _input(step: Step) -> Moment:
    sizes = step.sizes
    matrices = 2 if sizes.tied else 1
    head = sizes.vocabulary * sizes.hidden * step.precision.weight_bytes
    return Moment("input", step.tokens * sizes.hidden * step.stream, 0, matrices * head)


def _kept(step: Step) -> int:
    """Activations between forward and backward pass."""
    sizes, wide = step.sizes, step.stream
    kept = sizes.hidden * wide if step.checkpointing else kept_per_token(step)
    # the final norm, and in float32 the sum that it normalizes or the embedding
    ends = sizes.hidden * (2 * wide if wide == _FLOAT32 else _FLOAT32 + wide)
    return step.tokens * (sizes.layers * kept + ends) + _positions(step)


def _positions(step: Step) -> int:
    """Cosines and sines of rotary positions."""
    return 2 * step.tokens * step.sizes.queries // step.sizes.heads * step.stream


def _layer_copies(step: Step) -> int:
    return step.sizes.layer_matrices * step.precision.copy_bytes


def _chunk_bytes(step: Step) -> int:
    """Of the logits of one chunk and what is computed of them; those before it are gone.

    Logits are made in the precision of products. Fused, they become their own gradient; else they
    are read in float32, and copied to make room for what is read of them.
    """
    narrow = step.precision.compute_bytes
    if step.fused:
        return _chunk(step) * step.sizes.vocabulary * narrow
    made = _FLOAT32 + (narrow if narrow < _FLOAT32 else 0)
    read = (3 if step.reads is Reads.ENTROPIES else 2) * _FLOAT32
    return _chunk(step) * step.sizes.vocabulary * max(made, read)


def _chunk(step: Step) -> int:
    """Targets of the largest chunk; fused ones are as even as can be."""
    most = rows_at_once(step.sizes.vocabulary, "cuda")
    if step.fused:
        return -(-step.targets // -(-step.targets // most))
    return min(step.targets, most)
