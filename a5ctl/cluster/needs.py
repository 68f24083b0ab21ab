"""What a cell needs of a machine."""

from dataclasses import dataclass

from core.config.schema import RunConfig, RunKind

_CPUS_PER_GPU = 4


@dataclass(frozen=True, slots=True, order=True)
class Needs:
    """What one cell asks for.

    Attributes:
        gpus: Whole GPUs.
        cpus: Cores.
    """

    gpus: int
    cpus: int


def needs_of(config: RunConfig, *, gpus: int | None = None, cpus: int | None = None) -> Needs:
    """What a cell asks for, unless somebody says otherwise.

    A cell on device `auto` takes what the machine has; GPUs are asked for only where device is
    `cuda` or somebody says how many.

    Args:
        config: The cell.
        gpus: What the person says.
        cpus: What the person says.
    """
    processes = 1 if config.kind is RunKind.EVAL else config.train.gpus
    if gpus is None:
        gpus = processes if config.model.device == "cuda" else 0
    if cpus is None:
        threads = config.train.threads
        # a cell on the CPU whose plan does not say is carried out by one thread
        cpus = max(1, gpus * _CPUS_PER_GPU) if threads is None else threads * processes
    return Needs(gpus, cpus)
