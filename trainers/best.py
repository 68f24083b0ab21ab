"""Which checkpoints matter beyond the newest: the best one, and where a rollback may go."""

from collections.abc import Collection, Iterable, Mapping


def best_steps(scores: Mapping[int, float], count: int) -> frozenset[int]:
    """Steps of the best evaluations; of equal ones the later.

    Args:
        scores: Accuracy by step.
        count: How many to name.
    """
    ranked = sorted(scores, key=lambda step: (scores[step], step), reverse=True)
    return frozenset(ranked[:count])


def rollback_target(
    kept: Iterable[int], scores: Mapping[int, float], under_alarm: Collection[int], since: int
) -> int | None:
    """Where to go back to.

    Args:
        kept: Steps of the whole checkpoints on disk.
        scores: Accuracy by step.
        under_alarm: Steps whose evaluation shows a fault.
        since: First step that the alarm speaks of.

    Returns:
        The best evaluated checkpoint from before; where none was evaluated, the newest one; None
        where there is none, which means the initial weights.
    """
    before = [step for step in kept if step < since and step not in under_alarm]
    evaluated = {step: scores[step] for step in before if step in scores}
    if evaluated:
        return max(best_steps(evaluated, 1))
    return max(before, default=None)


def retreat_steps(
    kept: Collection[int],
    scores: Mapping[int, float],
    under_alarm: Collection[int],
    step: int,
    window: int,
) -> frozenset[int]:
    """Checkpoints to keep so that a rollback finds the one it wants, however far it looks back.

    Args:
        kept: Steps of the checkpoints on disk.
        scores: Accuracy by step.
        under_alarm: Steps whose evaluation shows a fault.
        step: The newest step.
        window: Steps that an alarm may speak of.

    Returns:
        What is the best evaluated one before any step of the window; where none is evaluated
        before it, the newest one before it and the oldest inside, which will be next.
    """
    evaluated = [saved for saved in kept if saved in scores]
    oldest = step - window + 1
    wanted = [
        rollback_target(evaluated, scores, under_alarm, since) for since in range(oldest, step + 2)
    ]
    best = [saved for saved in wanted if saved is not None]
    if wanted[0] is not None:
        return frozenset(best)
    ordered = sorted(kept)
    settled = [saved for saved in ordered if saved < oldest]
    coming = [saved for saved in ordered if saved >= oldest]
    return frozenset([*best, *settled[-1:], *coming[:1]])
