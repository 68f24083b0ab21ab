"""Going on where a step does not fit into memory: the same step again, in smaller pieces.

How a batch is split never changes the loss, so a step that ran out of memory is redone with half
the micro-batch budget: gradients cleared, random numbers put back, denominators as they were. Where
pieces cannot get smaller, activation checkpointing is switched on, if it may be. The smaller budget
stays for the rest of the run.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from core.config.schema import ActivationCheckpointing
from trainers.activation_checkpointing import (
    activation_checkpointing_is_on,
    set_activation_checkpointing,
)
from trainers.policy import Policy
from trainers.reaction import TrainingStoppedError

Value = TypeVar("Value")

_SIGNS = ("out of memory", "DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED")
_MOST_REDONE = 6


@dataclass(frozen=True, slots=True)
class Relief:
    """What was changed so that a step fits.

    Attributes:
        step: The update that is redone.
        microbatch_tokens: The budget from now on.
        checkpointing: The setting of activation checkpointing from now on.
        message: One sentence.
    """

    step: int
    microbatch_tokens: int
    checkpointing: ActivationCheckpointing
    message: str


def ignore(relief: Relief) -> None:
    """For those who need no word of it."""


@dataclass(slots=True)
class OutOfMemoryGuard:
    """Redoes the forward and backward passes of a step that ran out of memory.

    Attributes:
        checkpointing: Whether activation checkpointing may be switched on; `off` forbids it.
        report: Told of every change, which should be recorded and kept for a resume.
        redone: How often a step was redone in this process.
    """

    checkpointing: ActivationCheckpointing = ActivationCheckpointing.AUTO
    report: Callable[[Relief], None] = ignore
    redone: int = 0

    def run(
        self,
        policy: Policy,
        work: Callable[[int], Value],
        *,
        step: int,
        budget: int,
        longest: int,
    ) -> tuple[Value, int]:
        """Do one step's forward and backward passes, again in smaller pieces where they must be.

        Args:
            policy: What is trained.
            work: Accumulates all gradients of the step with the budget it is given; there are no
                gradients when it is called.
            step: Number of the update.
            budget: Token positions per forward pass.
            longest: Tokens of the step's longest example; no micro-batch can hold less.

        Returns:
            What `work` returned, and the budget that fitted.

        Raises:
            TrainingStoppedError: it does not fit in any way.
        """
        states = _random_states(policy.device)
        while True:
            try:
                return work(budget), budget
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).splitlines()[0][:200]
            # behind the except block: its traceback would keep the tensors of the step alive
            policy.model.zero_grad(set_to_none=True)
            gc.collect()
            _restore(policy.device, states)
            relief = self._relieve(policy, step, budget, longest, reason)
            budget = relief.microbatch_tokens
            self.report(relief)

    def _relieve(self, policy: Policy, step: int, budget: int, longest: int, reason: str) -> Relief:
        on = activation_checkpointing_is_on(policy.model)
        if budget > longest and self.redone < _MOST_REDONE:
            smaller = max(longest, budget // 2)
            change = f"micro-batches shrink from {budget:,} to {smaller:,} tokens"
        elif not on and self.checkpointing is not ActivationCheckpointing.OFF:
            smaller = budget
            change = "activation checkpointing is switched on"
            self.checkpointing = ActivationCheckpointing.ON
            set_activation_checkpointing(policy.model, on=True)
        else:
            raise TrainingStoppedError(self._hopeless(policy, step, budget, reason))
        self.redone += 1
        text = f"step {step} ran out of memory and is redone: {change}; loss and gradients stay"
        return Relief(step, smaller, self.checkpointing, text)

    def _hopeless(self, policy: Policy, step: int, budget: int, reason: str) -> str:
        advice = ["lower --max-length"]
        if not activation_checkpointing_is_on(policy.model):
            advice.insert(0, "use --set train.activation_checkpointing=auto")
        if policy.device.type == "cuda":
            advice.append("give the engine a GPU of its own with --placement apart")
            if policy.precision.weights is torch.float32:
                advice.append("halve weights, gradients and moments with --precision stochastic")
        return (
            f"step {step} does not fit into memory even with micro-batches of {budget:,} tokens, "
            f"after {self.redone} smaller attempts ({reason}); {', '.join(advice)}, or take a "
            "smaller model"
        )


def _random_states(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Of torch, which alone a forward pass draws from."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), cuda


def _restore(device: torch.device, states: tuple[Tensor, Tensor | None]) -> None:
    cpu, cuda = states
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.empty_cache()
        torch.cuda.set_rng_state(cuda, device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch raised this because memory ran out, on a GPU or on a CPU."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)
