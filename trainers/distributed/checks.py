"""How many processes a run takes, and whether this machine can have them."""

import os

from core.config.schema import RunConfig, RunKind
from core.errors import UserError
from core.provenance import usable_cores


def processes(config: RunConfig) -> int:
    """Processes that train together; a run that only evaluates has one."""
    return 1 if config.kind is RunKind.EVAL else config.train.gpus


def check_processes(config: RunConfig, device: str) -> None:
    """Refuse what cannot be started.

    Args:
        config: With every open setting filled in.
        device: `cpu` or `cuda`, as chosen for this machine; on `cpu` the processes share its
            cores, which must have been asked for.

    Raises:
        UserError: there are fewer GPUs, or fewer examples in a batch, than processes.
    """
    wanted = processes(config)
    if wanted == 1:
        return
    if config.kind is not RunKind.SFT:
        raise UserError(
            f"a run of kind {config.kind} trains in one process; leave out --gpus {wanted}"
        )
    if os.name == "nt":
        raise UserError(f"--gpus {wanted} needs Linux or macOS; use --gpus 1 here")
    if device == "cuda":
        _check_gpus(wanted)
    elif config.model.device != "cpu":
        raise UserError(
            f"--gpus {wanted} is asked for, and torch sees no GPU on this machine; use --gpus 1, "
            f"or start {wanted} processes on its CPU with --device cpu"
        )
    batch = config.train.batch_size
    if batch is not None and wanted > batch:
        raise UserError(
            f"--gpus {wanted} is more than the {batch} examples of an update, and every process "
            f"needs one; use --gpus {batch} or fewer, or a larger --batch-size"
        )


def check_placement(config: RunConfig, device: str) -> None:
    """Refuse an engine on a GPU of its own where there is none.

    Args:
        config: With every open setting filled in.
        device: `cpu` or `cuda`, as chosen for this machine.

    Raises:
        UserError: no GPU is left beside those that train.
    """
    if config.evaluation.placement != "apart" or not config.kind.trains:
        return
    if device == "cpu":
        raise UserError(
            "--placement apart puts the engine on a GPU of its own, and this run is on the CPU; "
            "leave it out"
        )
    import torch

    wanted, there = processes(config), torch.cuda.device_count()
    if there <= wanted:
        raise UserError(
            f"--placement apart needs a GPU beside the {wanted} that {_train(wanted)}, and torch "
            f"sees {there}; make another one visible in CUDA_VISIBLE_DEVICES, or use --placement "
            "shared"
        )


def _train(count: int) -> str:
    return "trains" if count == 1 else "train"


def with_gpus(config: RunConfig, gpus: int | None) -> RunConfig:
    """The config with another number of GPUs; all CPU threads together stay as many as before."""
    before = processes(config)
    if gpus is None or gpus == before or config.kind is RunKind.EVAL:
        return config
    threads = config.train.threads
    if threads is not None:
        threads = max(1, threads * before // gpus)
    train = config.train.model_copy(update={"gpus": gpus, "threads": threads})
    return config.model_copy(update={"train": train})


def threads_per_process(size: int) -> int:
    """CPU threads for each of several processes: together they take the usable cores."""
    return max(1, usable_cores() // size)


def _check_gpus(wanted: int) -> None:
    import torch

    there = torch.cuda.device_count()
    if wanted > there:
        raise UserError(
            f"--gpus {wanted} is asked for, and torch sees {there} on this machine; use --gpus "
            f"{there} or fewer, or start {wanted} processes on its CPU with --device cpu"
        )
