"""What methods have in common whose whole course is known before the first update."""

from collections.abc import Sequence
from typing import Any

from core.rollouts import Rollout


class Planned:
    """Nothing is sampled on the way, and what an update sees follows from its number alone."""

    __slots__ = ()

    def samplings_left(self, step: int) -> int:
        """It samples nothing."""
        return 0

    def ends_round(self, step: int) -> bool:
        """There is one round, whose end is evaluated anyway."""
        return False

    def dump(self) -> None:
        """Nothing has to be remembered."""

    def load(self, memory: dict[str, Any] | None, step: int) -> None:
        """Nothing was remembered."""

    def rollouts(self, step: int) -> Sequence[Rollout]:
        """It learns from responses that were there before."""
        return ()
