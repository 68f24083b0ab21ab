"""The processes that train one policy together, as the rest of the trainer sees them.

Every process runs the same program. What must be said, written or decided once is done by the
main one; the others learn of it through these few calls, which all of them make in the same order.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trainers.distributed.checks import threads_per_process

if TYPE_CHECKING:
    from core.engines.base import InferenceEngine
    from trainers.optimization import Optimizer
    from trainers.policy import Policy

Value = TypeVar("Value")

# One reduction inside a step. A process that dies is noticed by the launcher long before.
_STEP_TIMEOUT = timedelta(minutes=10)
# The others wait here while the main process evaluates, which may take very long.
_WAIT_TIMEOUT = timedelta(days=30)
# The launcher looks around every few hundredths of a second; a busy machine is slower.
_NEWS_WITHIN_S = 3.0
# What tells torch that a process has companions, and how many threads it gets beside them.
_OWN_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS")


class World:
    """A world of one process: every call is a no-op.

    Attributes:
        rank: Number of this process.
        size: Processes that train together.
        engine_device: The GPU that the engine has for itself, if any.
    """

    rank = 0
    size = 1

    def __init__(self, engine_device: str | None = None) -> None:
        """One process, whose engine may have a GPU of its own."""
        self.engine_device = engine_device

    @property
    def main(self) -> bool:
        """This process records, reports, evaluates and saves."""
        return self.rank == 0

    def sum(self, *values: float) -> tuple[float, ...]:
        """Sums over all processes."""
        return values

    def decide(self, make: Callable[[], Value]) -> Value:
        """What `make` returns in the main process, the only one that calls it."""
        return make()

    def barrier(self) -> None:
        """Wait until every process is here."""

    def shard(self, policy: "Policy") -> "Policy":
        """The policy, of which every process keeps a part; before the optimizer is built."""
        return policy

    def for_shards(self, optimizer: "Optimizer") -> "Optimizer":
        """The optimizer of a policy that `shard` returned."""
        return optimizer

    def gathered(self, policy: "Policy", optimizer: "Optimizer") -> "tuple[Policy, Any]":
        """Policy and optimizer with whole tensors, to be read into a checkpoint by the main one."""
        return policy, optimizer

    def engine(self, build: "Callable[[], InferenceEngine]") -> "InferenceEngine":
        """The engine that `build` makes: here, or elsewhere if it has a GPU for itself."""
        return build() if self.engine_device is None else self._elsewhere(build)

    def _elsewhere(self, build: "Callable[[], InferenceEngine]") -> "InferenceEngine":
        """The engine in a process of its own."""
        from core.engines.remote import RemoteEngine, visible_to_engine

        environment: dict[str, str | None] = dict.fromkeys(_OWN_VARIABLES if self.size > 1 else ())
        return RemoteEngine(build, environment | visible_to_engine(self.engine_device))

    @property
    def threads(self) -> int | None:
        """CPU threads of each process; None when they are to be measured."""
        return None

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Errors inside the block that come from the loss of another process say so."""
        yield


class ProcessGroup(World):
    """Several processes, connected by torch.distributed.

    Small things (sums, decisions, waiting) go through main memory and gloo, so that they never
    wait for a GPU; the policy's own traffic is left to FSDP.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        device: str,
        rendezvous: Path,
        lost: Callable[[float], str | None],
        engine_device: str | None = None,
    ) -> None:
        """Connect with the others, who must do the same.

        Args:
            rank: Number of this process.
            size: Processes that train together.
            device: `cpu` or `cuda`.
            rendezvous: A file, missing at first, through which the processes find each other.
            lost: Says which process was lost, waiting so many seconds for the news.
            engine_device: The GPU that the engine has for itself; None to share this process'.
        """
        import torch.distributed as dist

        super().__init__(engine_device)
        self.rank = rank
        self.size = size
        self._lost = lost
        backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
        dist.init_process_group(
            backend,
            init_method=rendezvous.absolute().as_uri(),
            rank=rank,
            world_size=size,
            timeout=_STEP_TIMEOUT,
        )
        self._control: Any = dist.new_group(backend="gloo", timeout=_WAIT_TIMEOUT)

    def sum(self, *values: float) -> tuple[float, ...]:
        """Sums over all processes, in float64; the same bits everywhere."""
        import torch
        import torch.distributed as dist

        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, group=self._control)
        return tuple(tensor.tolist())

    def decide(self, make: Callable[[], Value]) -> Value:
        """What `make` returns in the main process; it must be picklable."""
        import torch.distributed as dist

        box: list[Any] = [make() if self.main else None]
        dist.broadcast_object_list(box, src=0, group=self._control)
        return box[0]

    def barrier(self) -> None:
        """Wait until every process is here."""
        import torch.distributed as dist

        dist.barrier(group=self._control)

    def shard(self, policy: "Policy") -> "Policy":
        """The policy under FSDP; all processes must come with the same weights."""
        from trainers.distributed.sharding import shard

        return shard(policy, self)

    def for_shards(self, optimizer: "Optimizer") -> "Optimizer":
        """The optimizer over the parts of this process."""
        from trainers.distributed.sharding import for_shards

        return for_shards(optimizer)

    def gathered(self, policy: "Policy", optimizer: "Optimizer") -> "tuple[Policy, Any]":
        """Whole tensors in main memory; all processes take part, the main one gets them."""
        from trainers.distributed.sharding import gathered

        return gathered(policy, optimizer, self)

    def engine(self, build: "Callable[[], InferenceEngine]") -> "InferenceEngine":
        """The engine in a process of its own, on a GPU of its own where there is one more."""
        return self._elsewhere(build)

    @property
    def threads(self) -> int | None:
        """Together the processes take the usable cores."""
        return threads_per_process(self.size)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say which process was lost, where torch only says that a connection broke.

        Raises:
            ProcessLostError: another process has died.
        """
        try:
            yield
        except (RuntimeError, KeyboardInterrupt) as error:
            text = self._lost(_seconds_for_news(error))
            if text is not None:
                raise ProcessLostError(text) from error
            raise

    def close(self) -> None:
        """Leave the others, who leave at the same time."""
        import torch.distributed as dist

        with suppress(RuntimeError):  # whoever is gone already has reported why
            self.barrier()
            dist.destroy_process_group()


class ProcessLostError(RuntimeError):
    """Another process of the run has died; the message says which and how."""


ALONE = World()


def _seconds_for_news(error: BaseException) -> float:
    """How long the news may be behind an error; torch has none of its own for a lost connection.

    The launcher tells of a loss before it interrupts anybody.
    """
    import torch.distributed as dist

    broken = type(error) is RuntimeError or isinstance(error, dist.DistError)
    return _NEWS_WITHIN_S if broken else 0.0
