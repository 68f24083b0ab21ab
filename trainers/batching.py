"""Which examples each optimizer step sees, and how a step is split into micro-batches."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from core.config.schema import TrainSettings
from trainers.defaults import required
from trainers.tokenization import Example


class Fed(Protocol):
    """What a step is made of: an example, or several that belong together."""

    @property
    def token_ids(self) -> tuple[int, ...]:
        """All tokens that are fed."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The order of examples as a pure function of the step: a resumed run needs no cursor.

    Attributes:
        count: Training examples.
        batch_size: Examples per step; the last batch of an epoch may be smaller.
        total: Steps of the whole run.
        seed: Decides the order within each epoch.
    """

    count: int
    batch_size: int
    total: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Updates that one pass over the examples takes."""
        return math.ceil(self.count / self.batch_size)

    def batch(self, step: int) -> tuple[int, ...]:
        """Indices of the examples of update `step`, counted from 1."""
        epoch, position = divmod(step - 1, self.steps_per_epoch)
        order = _epoch_order(self.count, self.seed, epoch)
        return order[position * self.batch_size : (position + 1) * self.batch_size]

    def epoch_at(self, step: int) -> float:
        """Passes over the data that are done after update `step`."""
        return step / self.steps_per_epoch


def plan_batches(
    examples: Sequence[Fed], settings: TrainSettings, batch_size: int, seed: int
) -> BatchPlan:
    """Turn the budget (epochs, steps or tokens) into a number of steps.

    A token budget counts the tokens of the examples as they are fed, without padding, and ends
    with the first step that reaches it.
    """
    endless = BatchPlan(len(examples), min(batch_size, len(examples)), 0, seed)
    if settings.steps is not None:
        total = settings.steps
    elif settings.tokens is not None:
        total = _steps_for_tokens(endless, examples, settings.tokens)
    else:
        total = max(1, round(required(settings.epochs, "train.epochs") * endless.steps_per_epoch))
    return BatchPlan(endless.count, endless.batch_size, total, seed)


def split_microbatches(
    examples: Sequence[Example], token_budget: int
) -> Iterator[tuple[Example, ...]]:
    """Group neighbours in length so that rows x longest row stays within the budget.

    As few groups as that takes, and those as even as can be: a last group of one example would
    cost almost as much as a full one. An example longer than the budget gets a group of its own.
    """
    ordered = sorted(examples, key=lambda e: (len(e.token_ids), e.problem_id))
    lengths = [len(example.token_ids) for example in ordered]
    sizes = _group_sizes(lengths, token_budget)
    low, high = 1, token_budget
    while low < high:
        middle = (low + high) // 2
        tighter = _group_sizes(lengths, middle)
        if len(tighter) > len(sizes):
            low = middle + 1
        else:
            sizes, high = tighter, middle
    start = 0
    for size in sizes:
        yield tuple(ordered[start : start + size])
        start += size


def _group_sizes(ascending: Sequence[int], budget: int) -> list[int]:
    """Sizes of groups that are filled one after another, for lengths in ascending order."""
    sizes: list[int] = []
    for length in ascending:
        if sizes and (sizes[-1] + 1) * length <= budget:
            sizes[-1] += 1
        else:
            sizes.append(1)
    return sizes


@lru_cache(maxsize=4)
def _epoch_order(count: int, seed: int, epoch: int) -> tuple[int, ...]:
    order = list(range(count))
    random.Random(f"order-{seed}-{epoch}").shuffle(order)
    return tuple(order)


def _steps_for_tokens(plan: BatchPlan, examples: Sequence[Fed], budget: int) -> int:
    seen = step = 0
    while seen < budget:
        step += 1
        seen += sum(len(examples[index].token_ids) for index in plan.batch(step))
    return step
