"""The training steps of `memory_steps` on a real GPU, and what torch's allocator says of them."""

import gc
from dataclasses import dataclass

import torch

from benchmarks.memory_steps import Work, draw, loss_of
from benchmarks.random_weights import random_qwen2
from core.config.schema import TrainSettings
from trainers.activation_checkpointing import set_activation_checkpointing
from trainers.optimization import build_optimizer
from trainers.packed.prepare import prepare_packed
from trainers.packed.projection_choice import ProjectionChoice
from trainers.policy import Policy

_STEPS = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """Bytes of one GPU.

    Attributes:
        allocated: The most that tensors took at a time.
        reserved: The most that the allocator held.
        outside: What the device holds beside the allocator: CUDA's own, and other processes.
        how: How the passes were computed.
    """

    allocated: int
    reserved: int
    outside: int
    how: str


def measure(work: Work) -> Measured:
    """Train for some steps from random weights.

    Raises:
        RuntimeError: it does not fit, or no kernel takes packed rows here.
    """
    device = torch.device("cuda")
    gc.collect()
    torch.cuda.empty_cache()
    policy = _policy(work, device)
    optimizer = build_optimizer(policy.model.named_parameters(), TrainSettings())
    torch.cuda.reset_peak_memory_stats()
    examples, (loss, rules, entropy) = draw(work), loss_of(work)
    for _ in range(_STEPS):
        for _ in work.rows:
            if work.method == "dpo":
                policy.log_probs(examples, rules)
            policy.accumulate(examples, loss, rules, entropy)
        optimizer.update(1e-5)
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return Measured(
        torch.cuda.max_memory_allocated(),
        torch.cuda.max_memory_reserved(),
        total - free - torch.cuda.memory_reserved(),
        policy.how,
    )


def _policy(work: Work, device: torch.device) -> Policy:
    model = random_qwen2(work.shape, device, work.precision.weights)
    packing = prepare_packed(model, work.precision.compute)
    if packing.kernel is None:
        raise RuntimeError(packing.reason)
    set_activation_checkpointing(model, on=work.checkpointing)
    policy = Policy(model, None, device, work.precision, packing=packing)
    policy._projection = ProjectionChoice(work.projection, "as asked for", work.projection)
    return policy
