"""From a prepared run to its processes: what each is told, and which GPU it gets."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from core.engines.devices import visible_entries
from core.registry.records import RunRecord
from core.registry.store import Registry
from core.workspace import Workspace
from trainers.distributed.checks import processes, threads_per_process
from trainers.distributed.job import Job
from trainers.distributed.launcher import Ending, environments, run_processes
from trainers.engine_seat import spare_gpu
from trainers.prepare import Prepared


class Place(Protocol):
    """Where a run lives, as `trainers.execute.House` says it."""

    @property
    def workspace(self) -> Workspace:
        """Where the run folder is."""
        ...

    @property
    def registry(self) -> Registry:
        """Where the run's row is."""
        ...

    @property
    def argv(self) -> Sequence[str]:
        """The command line, for the record."""
        ...

    @property
    def worker(self) -> Sequence[str]:
        """Starts a process."""
        ...


def launch(run: RunRecord, prepared: Prepared, place: Place, *, resuming: bool) -> Ending:
    """Start the processes of a run and stay until the last one has gone."""
    size = processes(prepared.config)
    with tempfile.TemporaryDirectory(prefix="a5ctl-") as folder:
        job = Job(
            run=run,
            prepared=prepared,
            workspace=place.workspace,
            registry_url=place.registry.database.url,
            argv=place.argv,
            resuming=resuming,
            rendezvous=Path(folder) / "rendezvous",
            engine_device=spare_gpu(prepared, _devices(prepared), taken=size),
        )
        threads = prepared.config.train.threads or threads_per_process(size)
        return run_processes(
            place.worker,
            job.pack(),
            environments(size, threads, _devices(prepared)[:size]),
            place.workspace.run_folder(run.id),
        )


def _devices(prepared: Prepared) -> list[str]:
    """Every GPU that this process sees, as `CUDA_VISIBLE_DEVICES` names it."""
    if prepared.device != "cuda":
        return []
    import torch

    return visible_entries(torch.cuda.device_count())
