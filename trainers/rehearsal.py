"""A rehearsal before the first update: how many threads, and what fits into memory."""

from collections.abc import Sequence

import torch

from trainers.memory import MemoryPlan
from trainers.objectives import SftLoss
from trainers.observer import Severity
from trainers.out_of_memory import OutOfMemoryGuard
from trainers.policy import Policy
from trainers.rng import capture_rng, restore_rng
from trainers.stage import Stage
from trainers.threads import choose_threads
from trainers.tokenization import Example

# what tells thread counts apart on CPU: below 2,000 tokens two threads gain a model of 4M nothing
_REHEARSED_PRODUCTS = 2e10
_REHEARSED_TOKENS = 512


def settle_pace(
    stage: Stage,
    policy: Policy,
    examples: Sequence[Example],
    memory: MemoryPlan,
    guard: OutOfMemoryGuard,
) -> int:
    """Choose threads and the budget of a forward pass, and keep both for a resume.

    Args:
        stage: The run.
        policy: What will learn.
        examples: Rows as an update may see them.
        memory: Budget to begin with.
        guard: Makes it smaller where it does not fit.

    Returns:
        Token positions per forward pass.
    """
    settings = stage.config.train
    threads, budget = guard.run(
        policy,
        lambda tokens: choose_threads(
            lambda: _rehearse(policy, examples, tokens), settings.threads or stage.world.threads
        ),
        step=1,
        budget=memory.microbatch_tokens,
        longest=max(len(example.token_ids) for example in examples),
    )
    settings = stage.config.train
    known = settings.threads is not None and settings.microbatch_tokens is not None
    if not known:
        chosen = settings.model_copy(update={"threads": threads, "microbatch_tokens": budget})
        stage.keep_choice(stage.config.model_copy(update={"train": chosen}))
    if not known or policy.packed:  # kernels are chosen anew on every machine
        text = f"{threads} threads, micro-batches of {budget} tokens, {policy.how}"
        stage.recorder.event(Severity.INFO, "choices", text, data=policy.choices)
    return budget


def _rehearse(policy: Policy, examples: Sequence[Example], budget: int) -> None:
    """One pass whose gradients and random numbers are thrown away.

    On CUDA the whole budget shows what fits. On CPU written-out passes only go forward, which is
    a third of the work and scales with threads like the rest.
    """
    states = capture_rng()
    if policy.device.type == "cpu":
        parameters = sum(parameter.numel() for parameter in policy.model.parameters())
        budget = min(budget, max(_REHEARSED_TOKENS, int(_REHEARSED_PRODUCTS / parameters)))
    batch = next(policy.split_apart(examples, budget))
    if policy.passes is not None:
        policy.log_probs(batch)
    else:
        policy.accumulate(batch, SftLoss(1.0))
    policy.model.zero_grad(set_to_none=True)
    if policy.device.type == "cuda":
        torch.cuda.synchronize()
    restore_rng(states)
