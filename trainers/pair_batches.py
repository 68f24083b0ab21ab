"""Pairs of responses in tokens: how they are split into micro-batches, and how likely they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

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
        examples: Responses, each behind its prompt.
        places: Shape (E,), int64: 2 i for the chosen response of pair i of the batch, and 2 i + 1
            for the rejected one.
    """

    examples: tuple[Example, ...]
    places: Tensor

    @property
    def counts(self) -> Tensor:
        """Targets of each example, shape (E,), int64."""
        return torch.tensor([example.supervised_count for example in self.examples])


def responses_of(pairs: Sequence[PairExample]) -> list[Example]:
    """Chosen and rejected responses, pair by pair."""
    return [example for pair in pairs for example in (pair.chosen, pair.rejected)]


def split_pairs(
    policy: Policy, pairs: Sequence[PairExample], token_budget: int
) -> list[PairMicrobatch]:
    """The responses of pairs in micro-batches as they suit the policy.

    Where a row stores a prompt once, both responses of a pair are in one row, and so are those of
    other pairs with the same prompt.

    Args:
        policy: Whose passes they are for.
        pairs: Those of one batch; every response is an object of its own.
        token_budget: Token positions per forward pass.
    """
    responses = responses_of(pairs)
    place_of = {id(example): place for place, example in enumerate(responses)}
    return [
        PairMicrobatch(part, torch.tensor([place_of[id(example)] for example in part]))
        for part in policy.split(responses, token_budget)
    ]


def response_log_probs(policy: Policy, microbatches: Sequence[PairMicrobatch]) -> Tensor:
    """Log-probability of every response, its EOS included where there is one, without gradients.

    Args:
        policy: Whose it is.
        microbatches: All of a batch of P pairs.

    Returns:
        Shape (P, 2): chosen and rejected, float64, nats, on the CPU.
    """
    total = torch.zeros(sum(len(part.places) for part in microbatches), dtype=torch.float64)
    policy.ahead([part.examples for part in microbatches])
    # all passes are queued before the first result is waited for
    found = [policy.log_probs(part.examples).log_probs for part in microbatches]
    for part, log_probs in zip(microbatches, found, strict=True):
        each = log_probs.to("cpu", torch.float64).split(part.counts.tolist())
        total[part.places] = torch.stack([values.sum() for values in each])
    return total.view(-1, 2)
