"""Out of memory in one of several processes: nothing can be redone while the others wait."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from core.errors import first_line
from trainers.out_of_memory import OutOfMemoryGuard, is_out_of_memory
from trainers.policy import Policy
from trainers.reaction import TrainingStoppedError

Value = TypeVar("Value")


@dataclass(slots=True)
class LockstepGuard(OutOfMemoryGuard):
    """Ends the run with advice; its checkpoint is there to go on from."""

    def run(
        self,
        policy: Policy,
        work: Callable[[int], Value],
        *,
        step: int,
        budget: int,
        longest: int,
    ) -> tuple[Value, int]:
        """Do one step's forward and backward passes, once.

        Raises:
            TrainingStoppedError: they do not fit.
        """
        try:
            return work(budget), budget
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingStoppedError(
                f"step {step} does not fit into memory with micro-batches of {budget:,} tokens "
                f"({first_line(error)}); start again with a smaller "
                "--set train.microbatch_tokens or with more --gpus, or resume with --gpus 1"
            ) from error
