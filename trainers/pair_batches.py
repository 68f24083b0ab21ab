"""Pairs of responses in tokens: how they are split into micro-batches, and how likely they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.batching import even_sizes
from trainers.policy import Policy
from trainers.tokenization import Example


@dataclass(frozen=True, slots=True)
class PairExample:
    """Both responses to one prompt, each behind its own copy of the prompt."""

    chosen: Example
    rejected: Example

    @property
    def problem_id(self) -> str:
        """Id of the problem."""
        return self.chosen.problem_id

    @property
    def token_ids(self) -> tuple[int, ...]:
        """All tokens that are fed."""
        return self.chosen.token_ids + self.rejected.token_ids

    @property
    def longest(self) -> int:
        """Tokens of the longer of the two."""
        return max(len(self.chosen.token_ids), len(self.rejected.token_ids))


@dataclass(frozen=True, slots=True)
class PairMicrobatch:
    """Examples of one forward pass.

    Attributes:
        examples: Chosen and rejected responses, pair by pair.
        places: Shape (E,), int64: 2 i for the chosen response of pair i of the batch, and 2 i + 1
            for the rejected one.
    """

    examples: tuple[Example, ...]
    places: Tensor

    @property
    def counts(self) -> Tensor:
        """Targets of each example, shape (E,), int64."""
        return torch.tensor([example.supervised_count for example in self.examples])


def split_pairs(pairs: Sequence[PairExample], token_budget: int) -> list[PairMicrobatch]:
    """Group pairs of similar length so that rows x longest row stays within the budget.

    Both responses of a pair stay together, so that passes which store the common beginning of a
    micro-batch once can share a prompt; only a pair that is too large by itself is taken apart.
    """
    order = sorted(range(len(pairs)), key=lambda i: (pairs[i].longest, pairs[i].problem_id, i))
    widths = [2 * pairs[index].longest for index in order]
    rows = [example for pair in pairs for example in (pair.chosen, pair.rejected)]
    microbatches, start = [], 0
    for size in even_sizes(widths, token_budget):
        places = [2 * i + side for i in order[start : start + size] for side in (0, 1)]
        too_large = size == 1 and widths[start] > token_budget
        for group in [[place] for place in places] if too_large else [places]:
            examples = tuple(rows[place] for place in group)
            microbatches.append(PairMicrobatch(examples, torch.tensor(group)))
        start += size
    return microbatches


def response_log_probs(policy: Policy, microbatches: Sequence[PairMicrobatch]) -> Tensor:
    """Log-probability of every response, its EOS included where there is one, without gradients.

    Args:
        policy: Whose it is.
        microbatches: All of a batch of P pairs.

    Returns:
        Shape (P, 2): chosen and rejected, float64, nats, on the CPU.
    """
    total = torch.zeros(sum(len(part.places) for part in microbatches), dtype=torch.float64)
    for part in microbatches:
        log_probs = policy.log_probs(part.examples).log_probs.to("cpu", torch.float64)
        each = log_probs.split(part.counts.tolist())
        total[part.places] = torch.stack([values.sum() for values in each])
    return total.view(-1, 2)
