"""One process of a run: connect with the others, then train; the main one also records.

It is started by the launcher, with the job on its standard input.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict

from core.errors import UserError
from core.registry.store import open_registry
from trainers.distributed.job import Job, Lifeline, report
from trainers.distributed.stand_ins import FollowerStage, SilentRecorder, no_registry
from trainers.distributed.world import ProcessGroup, ProcessLostError, World
from trainers.execute import House, carry_out
from trainers.interrupt import Interrupts
from trainers.observer import Observer
from trainers.reaction import TrainingStoppedError
from trainers.train import train


def work(reports: int, display: Callable[[], AbstractContextManager[Observer]]) -> int:
    """Do this process' part of the job on standard input.

    Args:
        reports: Descriptor of the pipe to the launcher.
        display: Makes what the main process shows.

    Returns:
        The exit code; the main process' tells only that it reported.
    """
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if rank > 0:  # the main process decides when all stop
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    lifeline = Lifeline(sys.stdin.fileno())
    try:
        job = lifeline.job()
        world = ProcessGroup(
            rank, size, job.prepared.device, job.rendezvous, lifeline.lost, job.engine_device
        )
        if rank == 0:
            _lead(job, world, display, reports)
        else:
            _follow(job, world)
        world.close()
    except ProcessLostError:
        return 1
    except UserError as error:
        report(reports, refused=str(error), error=str(error))
        return 2
    except TrainingStoppedError as error:
        report(reports, error=str(error))
        return 1
    except BaseException as error:
        trace = "".join(traceback.format_exception(error))
        report(reports, error=f"{type(error).__name__}: {str(error).strip()}", trace=trace[-3000:])
        if rank > 0:
            sys.stderr.write(trace)
        return 1
    return 0


def _lead(
    job: Job,
    world: World,
    display: Callable[[], AbstractContextManager[Observer]],
    reports: int,
) -> None:
    registry = open_registry(job.registry_url)
    with display() as observer:
        house = House(job.workspace, registry, observer, job.argv)
        outcome = carry_out(job.run, job.prepared, house, resuming=job.resuming, world=world)
    report(reports, **asdict(outcome))
    if outcome.status != "finished":
        # the others may be waiting for this process in the middle of something: leave them to
        # the launcher, without the farewell that both sides wait for
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _follow(job: Job, world: World) -> None:
    folder = job.workspace.run_folder(job.run.id)
    stage = FollowerStage(
        run=job.run,
        config=job.prepared.config,
        prepared=job.prepared,
        folder=folder,
        registry=no_registry(folder),
        recorder=SilentRecorder(),
        observer=Observer(),
        interrupts=Interrupts(),
        resuming=job.resuming,
        world=world,
    )
    with world.explained():
        train(stage)
