"""Training steps of the program, run on fake CUDA tensors and followed by `memory_follow`.

What runs is `Policy.accumulate`, clipping, and the optimizer, at the true shapes; only weights are
not loaded and numbers are not computed. The second step is the one that counts: all state is there.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.memory_follow import Follower, Trace
from core.config.schema import TrainSettings
from core.models import prepare_imports
from trainers.activation_checkpointing import set_activation_checkpointing
from trainers.logit_rules import PLAIN, LogitRules
from trainers.objectives import SftLoss, WeightedLogProbLoss
from trainers.optimization import Optimizer, build_optimizer
from trainers.packed import attention, head_gradients, projection
from trainers.packed.feed import RowFeed
from trainers.packed.fused_loss import triton_version
from trainers.packed.kernels import Kernel
from trainers.packed.prepare import Packing
from trainers.packed.projection_choice import Projection, ProjectionChoice
from trainers.packed.row import PackedRow, Tokens, pack_row
from trainers.policy import Policy
from trainers.precision import Precision
from trainers.random_model import ModelShape, qwen2_config
from trainers.reading import TokenLoss
from trainers.tokenization import Example

_STAND_IN = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Work:
    """One training step.

    Attributes:
        shape: Of the model.
        precision: Number formats.
        tokens: Positions of every packed row.
        checkpointing: Layers compute their activations again.
        method: `sft`, `dpo` or `grpo`: which loss, and what is read of the logits.
        rows: Micro-batches of a step, as shares of `tokens`.
        projection: What computes losses over the vocabulary.
        example: Tokens of an example.
        supervised: Share of the tokens that are targets.
    """

    shape: ModelShape
    precision: Precision
    tokens: int
    checkpointing: bool = False
    method: str = "sft"
    rows: tuple[float, ...] = (1.0, 1.0)
    projection: Projection = Projection.FUSED
    example: int = 256
    supervised: float = 0.6


def follow(work: Work, steps: int = 2) -> Trace:
    """Run steps and return all that was allocated on the device, from the weights on."""
    with _followed(work) as (follower, policy, optimizer):
        for _ in range(steps):
            for share in work.rows:
                _accumulate(replace(work, tokens=int(share * work.tokens)), policy, follower)
            _update(optimizer, follower)
        return follower.trace


def follow_one_pass(work: Work) -> Trace:
    """One pass in the middle of a later step: gradients and moments are there. Then the update."""
    with _followed(work) as (follower, policy, optimizer):
        for _ in ("moments", "gradients"):
            for parameter in policy.model.parameters():
                parameter.grad = torch.empty_like(parameter)
            if not optimizer.adamw.state:
                _update(optimizer, follower)
        _accumulate(work, policy, follower)
        _update(optimizer, follower)
        return follower.trace


@contextmanager
def _followed(work: Work) -> Iterator[tuple[Follower, Policy, Optimizer]]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    model = meta_model(work)
    with FakeTensorMode(allow_non_fake_inputs=True), _as_on_cuda():
        policy = fake_policy(model, work)
        with Follower() as follower:
            follower.see(_tensors(policy.model))
            follower.mark("weights", _tensors(policy.model))
            yield (
                follower,
                policy,
                build_optimizer(policy.model.named_parameters(), TrainSettings()),
            )


def _accumulate(work: Work, policy: Policy, follower: Follower) -> None:
    examples, (loss, rules, entropy) = draw(work), loss_of(work)
    if work.method == "dpo":
        policy.log_probs(examples, rules)
    policy.accumulate(examples, loss, rules, entropy)
    follower.mark("gradients", _gradients(policy.model))


def _update(optimizer: Optimizer, follower: Follower) -> None:
    optimizer.update(1e-5)
    follower.mark("moments", _moments(optimizer.adamw))


def model_config(shape: ModelShape) -> Any:
    """A transformers config of a shape."""
    prepare_imports()
    return qwen2_config(shape)


def meta_model(work: Work) -> Any:
    """A transformers model without numbers."""
    prepare_imports()
    from transformers import Qwen2ForCausalLM

    with torch.device("meta"):
        return Qwen2ForCausalLM(model_config(work.shape)).to(work.precision.weights)


def fake_policy(model: Any, work: Work) -> Policy:
    """A policy on fake CUDA tensors, prepared for packed rows with torch's own kernel."""
    model = model.to_empty(device=_STAND_IN)
    model.tie_weights()
    attention.register()
    model.set_attn_implementation(Kernel.VARLEN.value)
    model.train()
    set_activation_checkpointing(model, on=work.checkpointing)
    packing = Packing(Kernel.VARLEN, "followed")
    policy = Policy(model, None, _STAND_IN, work.precision, packing=packing)
    policy._projection = ProjectionChoice(work.projection, "followed", work.projection)
    policy._feed = _RealRows(_STAND_IN)
    return policy


def draw(work: Work) -> list[Example]:
    """Examples that fill one row; an example of L tokens takes L - 1 positions."""
    lengths = [work.example] * (work.tokens // (work.example - 1))
    left = work.tokens - len(lengths) * (work.example - 1)
    return [_example(size, work.supervised) for size in (*lengths, left + 1) if size > 1]


def loss_of(work: Work) -> tuple[TokenLoss, LogitRules, bool]:
    """The loss of a method, the rules its targets were sampled under, and whether entropies are
    wanted."""
    if work.method == "sft":
        return SftLoss(100.0), PLAIN, False
    if work.method == "dpo":
        count = sum(example.supervised_count for example in draw(work))
        return WeightedLogProbLoss(torch.zeros(count)), PLAIN, False
    return _policy_gradient, LogitRules(temperature=1.0), True


def _policy_gradient(log_probs: Tensor, places: Tensor) -> Tensor:
    ratio = (log_probs - log_probs.detach()).exp()
    return -torch.minimum(ratio, ratio.clamp(0.8, 1.2)).sum()


def _example(size: int, supervised: float) -> Example:
    prompt = max(1, round(size * (1 - supervised)))
    marks = (False,) * prompt + (True,) * (size - prompt)
    return Example("followed", (1,) * size, marks, prompt, size)


class _RealRows(RowFeed):
    """Packs rows of real numbers, from whose values shapes follow."""

    def take(self, examples: Sequence[Tokens]) -> PackedRow:
        from torch.utils._python_dispatch import _disable_current_modes

        with _disable_current_modes():
            return pack_row(examples)


@contextmanager
def _as_on_cuda() -> Iterator[None]:
    """Chunks as large as on CUDA, kernels that leave numbers alone, and products added in place."""
    chunk = {_STAND_IN.type: head_gradients.CHUNK_LOGITS["cuda"]}
    with ExitStack() as stack:
        stack.enter_context(patch.dict(head_gradients.CHUNK_LOGITS, chunk))
        # the same sum without a temporary, as `adds_wide` finds it on CUDA
        for module in (head_gradients, projection):
            if hasattr(module, "add_product"):
                stack.enter_context(patch.object(module, "add_product", _added_in_place))
        if triton_version() is not None:
            from trainers.packed import row_kernel

            stack.enter_context(patch.object(row_kernel, "_launch", lambda *_, **__: None))
        yield


def _added_in_place(total: Tensor, left: Tensor, right: Tensor) -> None:
    assert total.shape == (left.shape[0], right.shape[1])
    total.zero_()


def _tensors(model: Any) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _gradients(model: Any) -> Iterator[Tensor]:
    return (p.grad for p in model.parameters() if p.grad is not None)


def _moments(adamw: torch.optim.Optimizer) -> Iterator[Tensor]:
    for state in adamw.state.values():
        yield from (value for value in state.values() if isinstance(value, Tensor))
