"""How a method is set up inside a run: what `train` needs from each of them."""

from collections.abc import Sequence
from typing import Protocol

from trainers.evaluator import Evaluator
from trainers.loop import Method
from trainers.memory import MemoryPlan
from trainers.policy import Policy
from trainers.stage import Stage
from trainers.tokenization import Example


class Recipe(Protocol):
    """The steps from a loaded policy to a method that can update it."""

    @property
    def stage(self) -> Stage:
        """The run."""
        ...

    @property
    def policy(self) -> Policy:
        """What will learn."""
        ...

    def examples(self) -> Sequence[Example]:
        """What an update works on, or rows as long as that can get: memory is planned by them."""
        ...

    def preflight(self, examples: Sequence[Example], memory: MemoryPlan) -> None:
        """Look for what would make the run useless; called in the main process only.

        Raises:
            UserError: something is fatal.
        """
        ...

    def method(
        self, examples: Sequence[Example], memory: MemoryPlan, evaluator: Evaluator | None
    ) -> Method:
        """Build the method.

        Args:
            examples: As `examples` gave them.
            memory: Budget of a forward pass.
            evaluator: Holds the run's engine; None in all but the main process.
        """
        ...
