"""What follows from the estimate of memory: the budget of a forward pass, and checkpointing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from core.config.schema import ActivationCheckpointing
from core.units import GIB, mib
from trainers.memory_advice import Tried, smallest_change
from trainers.memory_beside import NOTHING_BESIDE, Beside
from trainers.memory_estimate import (
    MemoryEstimate,
    TrainedModel,
    estimate_memory,
    model_bytes_per_token,
)

__all__ = ["MemoryEstimate", "MemoryPlan", "TrainedModel", "estimate_memory", "plan_memory"]

_MICROBATCH_BYTES = GIB
_FEWEST_TOKENS = 256
# on CPU small beats large where rows are padded; on CUDA launches must be worth their while
_MOST_TOKENS = {"cpu": 512, "cuda": 16384}
_MOST_WRITTEN_OUT = 4096
# below this, rows on CUDA wait for their launches, and checkpointing costs less
_BUSY_TOKENS = 4096
# of the memory that is free, the estimate may fill so much; on CUDA it has counted the allocator's
# losses, and a step that does not fit after all is redone in smaller pieces
_FILLED = {"cpu": 0.85, "cuda": 0.95}


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What was decided about memory before the run.

    Attributes:
        microbatch_tokens: Token positions per forward pass.
        checkpointing: Layers compute their activations again.
        estimate: For this budget.
        available: Bytes that were free when it was decided, weights loaded; None where unknown.
        beside: What else will take of them.
        device: `cpu` or `cuda`.
        advice: Where it does not fit, the smallest change that would, in words.
    """

    microbatch_tokens: int
    checkpointing: bool
    estimate: MemoryEstimate
    available: int | None
    beside: Beside = NOTHING_BESIDE
    device: str = "cpu"
    advice: str = ""

    @property
    def needed(self) -> int:
        """Bytes beyond the loaded weights, in the fuller turn: training's or the engine's."""
        estimate, beside = self.estimate, self.beside
        training = estimate.ahead + beside.with_training
        return max(training, estimate.moments + beside.with_engine)

    @property
    def fits(self) -> bool:
        """The estimate leaves some of the free memory; true where that is unknown."""
        if self.available is None:
            return True
        return self.needed <= _FILLED[self.device] * self.available


def microbatch_token_budget(model: TrainedModel, longest: int) -> int:
    """Token positions per forward pass: activations around one GiB, or a full row on CUDA.

    Args:
        model: What is trained.
        longest: Tokens of the longest example, which must fit alone.
    """
    most = _MOST_WRITTEN_OUT if model.written_out else _MOST_TOKENS[model.device]
    if model.packed:
        return max(longest, most)
    fitting = _MICROBATCH_BYTES // model_bytes_per_token(model)
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
    again; on CUDA down to what still keeps the device busy, and further only with checkpointing.

    Args:
        model: What is trained.
        longest: Tokens of the longest example.
        wanted_tokens: A budget that was asked for or recorded earlier.
        wanted: The setting `train.activation_checkpointing`.
        available: Bytes that are free, weights loaded; None where unknown.
        beside: What else will take of them.
    """

    def plan(choice: tuple[int, bool]) -> MemoryPlan:
        tokens, on = choice
        estimate = estimate_memory(model, tokens, checkpointing=on)
        return MemoryPlan(tokens, on, estimate, available, beside, model.device)

    first = wanted_tokens or microbatch_token_budget(model, longest)
    least = first if wanted_tokens else max(longest, _FEWEST_TOKENS)
    found = plan((first, wanted is ActivationCheckpointing.ON))
    for choice in _choices(model, first, least, wanted):
        found = plan(choice)
        if found.fits:
            return found
    tried = Tried(model, found.microbatch_tokens, found.checkpointing, longest, beside)

    def would_fit(estimate: MemoryEstimate, company: Beside) -> bool:
        return replace(found, estimate=estimate, beside=company).fits

    return replace(found, advice=smallest_change(tried, would_fit))


def _choices(
    model: TrainedModel, first: int, least: int, wanted: ActivationCheckpointing
) -> Iterator[tuple[int, bool]]:
    """Budgets with and without checkpointing, the quickest first."""
    halved = [max(least, first >> times) for times in range(32)]
    budgets = sorted(set(halved), reverse=True)
    automatic = wanted is ActivationCheckpointing.AUTO
    busy = _BUSY_TOKENS if model.packed and automatic else least
    if wanted is not ActivationCheckpointing.ON:
        yield from ((tokens, False) for tokens in budgets if tokens >= min(busy, first))
    if wanted is ActivationCheckpointing.ON or (automatic and model.packed):
        yield from ((tokens, True) for tokens in budgets)
    elif automatic:
        yield least, True


def describe_memory(plan: MemoryPlan) -> str:
    """One sentence with the estimate and its parts."""
    estimate = plan.estimate
    again = ", computed again in the backward pass" if plan.checkpointing else ""
    copies = f", narrow copies of the weights {mib(estimate.copies)}" if estimate.copies else ""
    lost = f", lost by the allocator {mib(estimate.lost)}" if estimate.lost else ""
    text = (
        f"training will take about {mib(estimate.held)}: weights {mib(estimate.weights)}, "
        f"gradients {mib(estimate.gradients)}, moments {mib(estimate.moments)}{copies}, "
        f"activations of at most {plan.microbatch_tokens:,} tokens "
        f"{mib(estimate.activations)}{again}, output layer {mib(estimate.projection)}, "
        f"the rest {mib(estimate.overhead)}{lost}; "
        f"beside it, {plan.beside.described}"
    )
    if plan.available is None:
        return text
    free = f"{mib(plan.available)} are free with the weights loaded"
    if plan.fits:
        return f"{text}; {free}"
    return f"{text}; only {free}, so it may run out: {plan.advice}"
