"""What to change where training does not fit into memory: the smallest change that would do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from core.engines.footprint import CONTEXT
from core.units import gib
from trainers.memory_beside import Beside
from trainers.memory_estimate import MemoryEstimate, TrainedModel, estimate_memory
from trainers.precision import FLOAT32, MIXED, STOCHASTIC

_SHORTEST = 128

Fits = Callable[[MemoryEstimate, Beside], bool]
"""Whether so much, beside that, fits into what is free."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What was found not to fit.

    Attributes:
        model: What is trained.
        tokens: Budget of a forward pass.
        checkpointing: Layers compute their activations again.
        longest: Tokens of the longest example.
        beside: What else is there.
        options: What to type for it.
    """

    model: TrainedModel
    tokens: int
    checkpointing: bool
    longest: int
    beside: Beside
    options: tuple[str, ...] = ()

    @property
    def estimate(self) -> MemoryEstimate:
        """Of training."""
        return estimate_memory(self.model, self.tokens, checkpointing=self.checkpointing)


def smallest_change(tried: Tried, fits: Fits) -> str:
    """Name the change that costs least and makes it fit, and what it would take then.

    Args:
        tried: What does not fit.
        fits: Decides.
    """
    for changed in _changes(tried):
        estimate = changed.estimate
        if fits(estimate, changed.beside):
            options = " ".join(changed.options)
            return f"use {options}, which takes about {gib(estimate.held)}"
    least = list(_changes(tried))[-1].estimate
    return (
        f"no setting makes it fit, the least is about {gib(least.held)}; take a smaller "
        "model, or a device with more memory"
    )


def _changes(tried: Tried) -> Iterator[Tried]:
    """From what changes least to what changes most: the last ones are all changes together."""
    start = [tried]
    again = _checkpointed(tried)
    if again is not None:
        yield again
        start.append(again)
    for base in start:
        yield from _smaller(base)
    smallest = list(_smaller(start[-1]))[-1:] or start[-1:]
    apart = _apart(smallest[0])
    if apart is not None:
        yield apart
    for base in (*start, smallest[0]):
        yield from _narrower(base)
    for narrow in list(_narrower(smallest[0]))[-1:] or smallest:
        yield from _shorter(narrow)


def _checkpointed(tried: Tried) -> Tried | None:
    if tried.checkpointing:
        return None
    options = (*tried.options, "--set train.activation_checkpointing=on")
    return replace(tried, checkpointing=True, options=options)


def _smaller(tried: Tried) -> Iterator[Tried]:
    tokens = tried.tokens
    while tokens > tried.longest:
        tokens = max(tried.longest, tokens // 2)
        option = f"--set train.microbatch_tokens={tokens}"
        yield replace(tried, tokens=tokens, options=(*tried.options, option))


def _apart(tried: Tried) -> Tried | None:
    """The engine on another GPU."""
    if tried.model.device != "cuda" or tried.beside.engine <= CONTEXT:
        return None
    beside = replace(tried.beside, engine=CONTEXT, engine_awake=0)
    return replace(tried, beside=beside, options=(*tried.options, "--placement apart"))


def _narrower(tried: Tried) -> Iterator[Tried]:
    precisions = {FLOAT32: (MIXED, STOCHASTIC), MIXED: (STOCHASTIC,)}
    if tried.model.device != "cuda":
        return
    for precision in precisions.get(tried.model.precision, ()):
        model = replace(tried.model, precision=precision)
        yield replace(tried, model=model, options=(*tried.options, f"--precision {precision.name}"))


def _shorter(tried: Tried) -> Iterator[Tried]:
    length = tried.longest
    while length > _SHORTEST:
        length = max(_SHORTEST, length // 2)
        options = (*tried.options, f"--max-length {length}")
        yield replace(tried, tokens=min(tried.tokens, length), longest=length, options=options)
