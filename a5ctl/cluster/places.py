"""From `--on` and `--site` to what carries cells out elsewhere."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from a5ctl.cluster.batch import BatchSystem
from a5ctl.cluster.batch_executor import BatchExecutor
from a5ctl.cluster.harvest import Harvest
from a5ctl.cluster.ledger import Ledger
from a5ctl.cluster.pbs import Pbs
from a5ctl.cluster.site import PbsKind, Recording, Site, load_site
from a5ctl.cluster.slurm import Slurm
from a5ctl.plans.executor import CellCommand
from core.errors import UserError
from core.plans.cells import Cell
from core.plans.folder import plan_folder
from core.plans.plan import Plan
from core.registry.server import is_server, masked
from core.registry.store import Registry
from core.workspace import Workspace

if TYPE_CHECKING:
    from a5ctl.plans.executor import Executor

BATCH = ("slurm", "pbs")
_REGISTRY = "A5CTL_REGISTRY"


@dataclass(frozen=True, slots=True)
class Job:
    """What is carried out elsewhere, and how it was asked for.

    Attributes:
        on: Value of `--on`.
        site: Value of `--site`.
        registry_option: Value of `--registry`.
        recording: Value of `--recording`.
        jobs: Value of `--jobs`.
        take_over: Value of `--take-over`.
    """

    plan: Plan
    workspace: Workspace
    registry: Registry
    on: str
    site: Path | None
    registry_option: str | None
    recording: Recording | None
    jobs: int | None
    take_over: bool


def check_place(on: str | None, site: Path | None, *, dry_run: bool) -> None:
    """Refuse options that do not go together.

    Raises:
        UserError: they do not.
    """
    if on is not None and on not in BATCH and not _is_ray(on):
        raise UserError(
            f"--on {on!r} is unknown; give ray, ray://HOST:PORT, HOST:PORT or auto for Ray, or "
            "slurm, or pbs"
        )
    if on in BATCH and site is None:
        raise UserError(f"--on {on} needs --site FILE, which says how jobs are asked for there")
    if on not in BATCH and site is not None:
        raise UserError("--site says how jobs are asked for, with --on slurm or --on pbs")
    if on not in BATCH and dry_run:
        raise UserError(
            "--dry-run shows the scripts of --on slurm and --on pbs; a5ctl plan check shows cells"
        )


def executor_for(job: Job, tell: Callable[[str], None]) -> "Executor":
    """What carries the cells out.

    Raises:
        UserError: there is no such place, or the site file is wrong.
    """
    return _batch(job, tell) if job.on in BATCH else _ray(job, tell)


def batch_system(on: str, site: Site) -> BatchSystem:
    """Slurm, or the right kind of PBS."""
    return Slurm() if on == "slurm" else Pbs(site.pbs)


def system_named(name: str) -> BatchSystem:
    """The batch system that a ledger names."""
    return Slurm() if name == "slurm" else Pbs(PbsKind(name))


def scripts(job: Job, cells: Iterable[Cell]) -> list[tuple[str, list[str]]]:
    """The scripts that would be handed in, each with the ids of its cells.

    Raises:
        UserError: the site file is wrong.
    """
    site = _site(job)
    executor = _executor(job, site, batch_system(job.on, site), lambda _: None)
    return executor.preview(list(cells))


def _is_ray(on: str) -> bool:
    host, _, port = on.rpartition(":")
    return on in ("ray", "auto") or on.startswith("ray://") or bool(host and port.isdecimal())


def _site(job: Job) -> Site:
    assert job.site is not None
    site = load_site(job.site)
    given = {"at_once": job.jobs, "recording": job.recording}
    return site.model_copy(update={k: v for k, v in given.items() if v is not None})


def _batch(job: Job, tell: Callable[[str], None]) -> BatchExecutor:
    site = _site(job)
    system = batch_system(job.on, site)
    system.check()
    executor = _executor(job, site, system, tell)
    executor.open()
    return executor


def _executor(
    job: Job, site: Site, system: BatchSystem, tell: Callable[[str], None]
) -> BatchExecutor:
    on_node = site.recording is Recording.NODE or (
        site.recording is Recording.AUTO and not is_server(_url(job))
    )
    open_, secret = _environments(job, on_node)
    return BatchExecutor(
        system=system,
        site=site,
        ledger=Ledger(plan_folder(job.workspace, job.plan.name).path),
        command=CellCommand(job.plan.path, job.workspace.root, None),
        cells=job.plan.by_id,
        title=f"plan {job.plan.name}",
        tell=tell,
        harvest=_harvest(job) if on_node else None,
        environment=open_,
        secret_environment=secret,
    )


def _ray(job: Job, tell: Callable[[str], None]) -> "Executor":
    from a5ctl.cluster.ray_cluster import connect
    from a5ctl.cluster.ray_executor import RayExecutor

    cluster = connect(job.on)
    on_node = job.recording is Recording.NODE or (
        job.recording in (None, Recording.AUTO)
        and not is_server(_url(job))
        and not cluster.is_on_this_machine
    )
    open_, secret = _environments(job, on_node)
    return RayExecutor(
        cluster=cluster,
        command=CellCommand(job.plan.path, job.workspace.root, None),
        folder=plan_folder(job.workspace, job.plan.name),
        jobs=job.jobs,
        tell=tell,
        harvest=_harvest(job) if on_node else None,
        environment={**open_, **secret},
        take_over=job.take_over,
    )


def _harvest(job: Job) -> Harvest:
    if job.plan.form.search is not None:
        raise UserError(
            f"plan {job.plan.path} has a [search], and nodes that record on their own do not see "
            "what it found so far; use a registry on PostgreSQL (docs/postgresql.md), or "
            "--recording shared where all nodes are this machine"
        )
    return Harvest(job.registry, job.workspace, job.plan.name)


def _url(job: Job) -> str:
    return job.workspace.registry_url(job.registry_option)


def _environments(job: Job, on_node: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Variables of the cells: those that may stand in a script, and those that must not.

    The address of a registry goes by the environment, as command lines can be seen by others.
    """
    if on_node or (job.registry_option is None and _REGISTRY not in os.environ):
        return {}, {}
    url = _url(job)
    secret = is_server(url) and masked(url) != url
    return ({}, {_REGISTRY: url}) if secret else ({_REGISTRY: url}, {})
