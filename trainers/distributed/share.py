"""How the examples of one update are dealt out to the processes that train together."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from trainers.distributed.world import World
from trainers.tokenization import Example

Split = Callable[[Sequence[Example]], Iterable[Sequence[Example]]]


@dataclass(frozen=True, slots=True)
class Share:
    """What one process does in one update.

    Attributes:
        microbatches: Its own part of the batch.
        idle: Micro-batches that must count for nothing: others have more than this process, and
            every pass gathers the weights from everybody.
    """

    microbatches: tuple[Sequence[Example], ...]
    idle: tuple[Sequence[Example], ...]


def deal(examples: Sequence[Example], size: int) -> list[list[Example]]:
    """Deal examples out so that the processes get about the same number of tokens.

    The longest example goes first, each to whoever has the fewest tokens so far (Graham 1969: at
    most 4/3 of the best possible largest share).

    Args:
        examples: The batch of one update.
        size: Processes.

    Returns:
        One list per process; the same on every process.
    """
    hands: list[list[Example]] = [[] for _ in range(size)]
    tokens = [0] * size
    for example in sorted(examples, key=lambda e: (-len(e.token_ids), e.problem_id)):
        poorest = min(range(size), key=lambda rank: (tokens[rank], rank))
        hands[poorest].append(example)
        tokens[poorest] += len(example.token_ids)
    return hands


def share_of(world: World, examples: Sequence[Example], split: Split) -> Share:
    """The part of this process.

    Args:
        world: The processes that share the batch.
        examples: The whole batch.
        split: Cuts examples into micro-batches.
    """
    if world.size == 1:
        return Share(tuple(split(examples)), ())
    parts = [tuple(split(hand)) for hand in deal(examples, world.size)]
    missing = max(map(len, parts)) - len(parts[world.rank])
    shortest = min(examples, key=lambda e: (len(e.token_ids), e.problem_id))
    return Share(parts[world.rank], ((shortest,),) * missing)
