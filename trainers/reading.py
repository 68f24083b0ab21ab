"""What is read off the logits of targets: log-probabilities, entropies, and losses of them.

Every path from hidden states to losses reads logits here, a chunk of targets at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainers.logit_rules import PLAIN, LogitRules, constrain, early_targets
from trainers.objectives import token_log_probs
from trainers.tokenization import Example

TokenLoss = Callable[[Tensor, Tensor], Tensor]
"""Adds up a loss over tokens: (log-probabilities (n,), their places among the row's targets (n,))
-> scalar. It must be a sum of terms that each depend on one token, so that it may be taken in
parts."""


@dataclass(frozen=True, slots=True)
class TargetLogProbs:
    """Of n targets, in the order of the examples and within each by position.

    Attributes:
        log_probs: Shape (n,), nats, float32 or wider.
        entropy: Shape (n,), nats, without gradient: of the distribution that each target was
            drawn from; None where it was not asked for.
    """

    log_probs: Tensor
    entropy: Tensor | None


@dataclass(frozen=True, slots=True)
class Reading:
    """How the targets of one micro-batch are read.

    Attributes:
        rules: What they were sampled under.
        early: Shape (n,), bool: the targets that were not allowed to end their response; None
            where there are none.
        entropy: Whether entropies are wanted.
    """

    rules: LogitRules = PLAIN
    early: Tensor | None = None
    entropy: bool = False

    @property
    def constrained(self) -> bool:
        """The rules change the distribution of some target."""
        return self.early is not None or self.rules.temperature != 1 or self.rules.top_p != 1

    @property
    def plain(self) -> bool:
        """Only log-probabilities under the model's own distribution are wanted."""
        return not self.constrained and not self.entropy

    def to(self, device: torch.device) -> "Reading":
        """The same with its tensors on another device."""
        return replace(
            self,
            early=None if self.early is None else self.early.to(device, non_blocking=True),
        )

    def part(self, targets: slice) -> "Reading":
        """For some of the targets."""
        return self if self.early is None else replace(self, early=self.early[targets])


PLAIN_READING = Reading()


def reading_of(examples: Sequence[Example], rules: LogitRules, *, entropy: bool) -> Reading:
    """How the targets of these examples are read.

    Raises:
        ValueError: a response ends where the rules do not let it.
    """
    return Reading(rules, early_targets(examples, rules), entropy)


def chunks(count: int, rows: int) -> Iterator[slice]:
    """Slices of at most `rows` targets; one empty slice where there are none."""
    return (slice(start, start + rows) for start in range(0, max(count, 1), rows))


def read(logits: Tensor, labels: Tensor, reading: Reading) -> tuple[Tensor, TargetLogProbs]:
    """p = softmax(z) and log p(y) = z_y - logsumexp(z), where logsumexp(z) = max z - log max p.

    The entropy is logsumexp(z) - sum p z = -log max p + sum p (max z - z): no term is negative, so
    no digits cancel. Not to be differentiated.

    Args:
        logits: Shape (n, V), any float dtype; overwritten unless the reading is plain.
        labels: Shape (n,), int64.
        reading: For these n targets.

    Returns:
        p of shape (n, V), and the targets' numbers; float32, or float64 for float64 logits.
    """
    wide = torch.promote_types(logits.dtype, torch.float32)
    if reading.constrained:
        logits = constrain(logits.to(wide), labels, reading.rules, reading.early)
    shares = torch.softmax(logits, -1, dtype=wide)
    largest, share = _largest(logits, shares)
    # max p is at least 1 / V, so its logarithm is exact enough wherever the maximum is
    above = share.log_().neg_()
    normalizer = largest.to(wide) + above
    log_probs = logits.gather(-1, labels[:, None]).to(wide) - normalizer
    entropy = None
    if reading.entropy:
        gaps = (largest - logits.to(wide)).mul_(shares)
        entropy = gaps.sum(-1).add_(above[:, 0])
    return shares, TargetLogProbs(log_probs.squeeze(-1), entropy)


def _largest(logits: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of each row and its share, (n, 1); finding its place triples the time on CPUs."""
    if logits.is_cpu:
        return logits.amax(-1, keepdim=True), shares.amax(-1, keepdim=True)
    largest, place = logits.max(-1, keepdim=True)
    return largest, shares.gather(-1, place)


def read_with_graph(
    logits: Tensor, labels: Tensor, reading: Reading
) -> tuple[Tensor, Tensor | None]:
    """The same log-probabilities with torch's gradient, and entropies without one.

    Args:
        logits: Shape (n, V), float32 or float64; overwritten unless the reading is plain.
        labels: Shape (n,), int64.
        reading: For these n targets.
    """
    if reading.constrained:
        logits = constrain(logits, labels, reading.rules, reading.early)
    entropy = None
    if reading.entropy:
        _, found = read(logits.detach(), labels, Reading(entropy=True))
        entropy = found.entropy
    return token_log_probs(logits, labels), entropy


def value_and_slope(loss: TokenLoss, log_probs: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """A loss of some targets, and its gradient by each of their log-probabilities, shape (n,)."""
    with torch.enable_grad():
        leaf = log_probs.detach().requires_grad_()
        value = loss(leaf, places)
        (slope,) = torch.autograd.grad(value, leaf)
    return value.detach(), slope


def joined(parts: Sequence[TargetLogProbs]) -> TargetLogProbs:
    """Parts of one micro-batch, in order."""
    entropies = [part.entropy for part in parts if part.entropy is not None]
    return TargetLogProbs(
        torch.cat([part.log_probs for part in parts]),
        torch.cat(entropies) if entropies else None,
    )
