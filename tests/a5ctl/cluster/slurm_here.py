"""A real Slurm of one node in a folder of its own, on ports of its own, under the present user."""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel")
SBIN = "/usr/sbin"  # not on everybody's PATH
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
KillWait=5
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=2000 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True, slots=True)
class SlurmHere:
    """Environment variables that lead its programs to it."""

    conf: Path
    started: float

    def ask(self, *command: str) -> str:
        environment = {**os.environ, "SLURM_CONF": str(self.conf)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout


def missing() -> str | None:
    """Why Slurm cannot be started here; None where it can."""
    path = f"{os.environ['PATH']}{os.pathsep}{SBIN}"
    gone = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    return f"{', '.join(gone)} not installed" if gone else None


@contextmanager
def slurm_here(folder: Path) -> Iterator[SlurmHere]:
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(mode=0o700, parents=True)
    conf = folder / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    controller, node = _free_ports(2)
    conf.write_text(
        CONF.format(
            host=host, user=getpass.getuser(), folder=folder, controller=controller, node=node
        )
    )
    with ExitStack() as stack:
        _start_munge(stack, folder / "munge")
        began = time.monotonic()
        _start(stack, folder, ("slurmctld", "-D", "-c", "-f", str(conf)), conf)
        _start(stack, folder, ("slurmd", "-D", "-f", str(conf)), conf)
        slurm = SlurmHere(conf, began)
        _wait_for_node(slurm)
        try:
            yield slurm
        finally:
            _let_jobs_end(slurm)


def _start_munge(stack: ExitStack, folder: Path) -> None:
    key = folder / "key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    options = [f"--{name}={folder / name}" for name in ("socket", "pid-file", "seed-file")]
    options += [f"--key-file={key}", f"--log-file={folder / 'log'}"]
    _start(stack, folder, ("munged", "--foreground", "--force", *options))


def _start(
    stack: ExitStack, folder: Path, command: Sequence[str], conf: Path | None = None
) -> None:
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}{os.pathsep}{SBIN}"}
    if conf is not None:
        environment["SLURM_CONF"] = str(conf)
    log = stack.enter_context((folder / f"{command[0]}.out").open("wb"))
    process = subprocess.Popen(
        command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
    )
    stack.callback(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _let_jobs_end(slurm: SlurmHere) -> None:
    """What watches over a job would wait for ever for a controller that is gone."""
    slurm.ask("scancel", "--user", getpass.getuser())
    deadline = time.monotonic() + 20
    while slurm.ask("squeue", "--noheader") and time.monotonic() < deadline:
        time.sleep(0.1)


def _wait_for_node(slurm: SlurmHere) -> None:
    deadline = time.monotonic() + 60
    said = ""
    while time.monotonic() < deadline:
        try:
            said = slurm.ask("sinfo", "--noheader", "--format=%t")
        except subprocess.CalledProcessError as error:
            said = error.stderr
        if said.strip() == "idle":
            return
        time.sleep(0.1)
    pytest.fail(f"Slurm did not start: {said}")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in held]
