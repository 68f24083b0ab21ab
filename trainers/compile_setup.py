"""Whether the layers of a run are compiled: asked for, possible, and worth it."""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

from core.config.schema import Compile, RunConfig, RunKind
from core.errors import UserError
from trainers.defaults import required
from trainers.packed.compiled import Compilation, try_compiled
from trainers.packed.kernels import Kernel
from trainers.policy import Policy
from trainers.stage import Stage
from trainers.tokenization import Example

# what compiling one layer forward and backward takes, where nothing is cached; each run says how
# long it took
_COMPILE_SECONDS = 30.0
# bytes that a layer's operations between products move per position beyond what fused ones do,
# forward and backward: two norms with their conversions, rotary positions, and SwiGLU
_NORM_BYTES = 220
_ROTARY_BYTES = 110
_GATE_BYTES = 14
_PLAIN = "layers run as they are"


def settle_compilation(
    stage: Stage, policy: Policy, examples: Sequence[Example], positions: int
) -> None:
    """Compile the policy's layers where that was asked for or pays; the policy says why or why not.

    Args:
        stage: The run.
        policy: What will learn.
        examples: What it learns from, or rows as long as those can get.
        positions: Budget of a forward pass.

    Raises:
        UserError: compiling was asked for and does not work here.
    """
    wanted = stage.config.train.compile
    obstacle = _obstacle(policy)
    if wanted is Compile.OFF:
        policy.compilation = Compilation(False, f"{_PLAIN}, as was asked for")
    elif obstacle is not None:
        policy.compilation = Compilation(False, f"{_PLAIN}: {obstacle}")
    elif wanted is Compile.AUTO and (reason := _too_little(stage.config, policy, examples)):
        policy.compilation = Compilation(False, f"{_PLAIN}: {reason}")
    else:
        stage.observer.phase("compiling the layers")
        policy.compilation = compiled_layers(policy, positions)
    if wanted is Compile.ON and not policy.compilation.on:
        reason = policy.compilation.reason.removeprefix(f"{_PLAIN}: ")
        raise UserError(f"train.compile on does not work here: {reason}; use --compile auto")


def expects_compilation(config: RunConfig, policy: Policy, examples: Sequence[Example]) -> bool:
    """Whether `settle_compilation` is going to try it, for whoever plans memory before that."""
    wanted = config.train.compile
    if wanted is Compile.OFF or _obstacle(policy) is not None:
        return False
    return wanted is Compile.ON or _too_little(config, policy, examples) is None


def compiled_layers(policy: Policy, positions: int) -> Compilation:
    """Try to compile the layers of a policy that takes packed rows of about so many positions."""
    assert policy.packing is not None
    kernel = required(policy.packing.kernel, "the attention kernel")
    return try_compiled(policy.model, kernel, policy.precision.compute, positions)


def planned_positions(config: RunConfig, examples: Sequence[Example]) -> int:
    """About how many token positions the updates of a run go through.

    Args:
        config: Of the run.
        examples: What is learned from; where responses are still to be sampled, rows as long as
            they can get, and half of that is expected.
    """
    train, mean = config.train, statistics.fmean(len(example.token_ids) for example in examples)
    if config.kind is RunKind.GRPO:
        grpo = config.grpo
        return int(grpo.steps * grpo.rollout_batch * grpo.epochs_per_rollout * mean / 2)
    if config.kind is RunKind.EI:
        epochs = required(train.epochs, "train.epochs") if train.steps is None else 1.0
        return int(config.ei.steps * config.ei.questions * epochs * mean / 2)
    if train.tokens is not None:
        return train.tokens
    if train.steps is not None:
        each = 2 if config.kind is RunKind.DPO else 1
        return int(train.steps * required(train.batch_size, "train.batch_size") * each * mean)
    return int(required(train.epochs, "train.epochs") * len(examples) * mean)


def saved_bytes(config: Any) -> int:
    """Bytes of memory traffic that a compiled model saves per token position, by its shape.

    Args:
        config: Of a transformers model.
    """
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    each = _NORM_BYTES * config.hidden_size + _GATE_BYTES * inner
    each += _ROTARY_BYTES * size * (heads + 2 * key_heads)
    return int(config.num_hidden_layers * each)


def copy_rate(device: torch.device) -> float:
    """Bytes per second that a copy within the device's memory reads and writes."""
    source = torch.empty(2**28, dtype=torch.uint8, device=device)
    target, taken = torch.empty_like(source), []
    for _ in range(4):
        torch.cuda.synchronize(device)
        started = time.perf_counter()
        target.copy_(source)
        torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - started)
    return 2 * source.numel() / min(taken)


def _obstacle(policy: Policy) -> str | None:
    if policy.passes is not None:
        return "the written-out passes of a CPU have none to compile"
    if policy.packing is None:
        return "rows are padded"
    return policy.packing.reason if policy.packing.kernel is None else None


def _too_little(config: RunConfig, policy: Policy, examples: Sequence[Example]) -> str | None:
    """Why compiling does not pay, as the end of a sentence; None where it does."""
    assert policy.packing is not None
    if policy.device.type != "cuda":
        return f"compiling pays on CUDA, and this is {policy.device.type}"
    if policy.packing.kernel is Kernel.BLOCKS:
        return "with one attention call per example there is little to gain"
    traffic = planned_positions(config, examples) * saved_bytes(policy.model.config)
    saved = traffic / copy_rate(policy.device)
    if saved > _COMPILE_SECONDS:
        return None
    return (
        f"compiling saves about {saved:.0f} s of this run and takes about {_COMPILE_SECONDS:.0f} s"
    )
