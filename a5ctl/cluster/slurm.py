"""Slurm, by sbatch, squeue, sacct and scancel."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from a5ctl.cluster.batch import ArrayJob, BatchError, Element, Ending, Phase, ask, require
from a5ctl.cluster.needs import Needs
from a5ctl.cluster.script import Errand, script_text
from a5ctl.cluster.site import Site

_INDEX = "${SLURM_ARRAY_TASK_ID:-0}"
_WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"}
_RUNNING = {
    *("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "STAGE_OUT", "SIGNALING", "RESIZING"),
}
_ENDINGS = {
    "TIMEOUT": Ending.OUT_OF_TIME,
    "DEADLINE": Ending.OUT_OF_TIME,
    "NODE_FAIL": Ending.NODE_LOST,
    "BOOT_FAIL": Ending.NODE_LOST,
    "PREEMPTED": Ending.PREEMPTED,
    "REVOKED": Ending.PREEMPTED,
    "OUT_OF_MEMORY": Ending.OUT_OF_MEMORY,
    "CANCELLED": Ending.CANCELLED,
}
_FORGOTTEN = "Invalid job id"


class Slurm:
    """Slurm's programs on PATH."""

    name = "slurm"

    def check(self) -> None:
        """See `BatchSystem.check`."""
        require(("sbatch", "squeue", "scancel"), self.name)

    def script(self, errand: Errand, site: Site, needs: Needs) -> str:
        """The script of an array."""
        return script_text(errand, site, _directives(errand, site, needs), _INDEX, None)

    def submit_command(self, script: Path) -> list[str]:
        """See `BatchSystem.submit_command`."""
        return ["sbatch", "--parsable", str(script)]

    def submit(self, script: Path, environment: Mapping[str, str]) -> str:
        """See `BatchSystem.submit`."""
        # --parsable: ID, or ID;CLUSTER
        return ask(self.submit_command(script), environment).strip().partition(";")[0]

    def find(self, name: str) -> str | None:
        """See `BatchSystem.find`."""
        held = ask(["squeue", "--noheader", "--states=all", f"--name={name}", "--format=%F"])
        if held.split():
            return held.split()[0]
        since = ["--starttime=now-30days", f"--name={name}", "--format=JobID"]
        return next((row[0].partition("_")[0] for row in _accounted(since)), None)

    def elements(self, jobs: Sequence[ArrayJob]) -> dict[tuple[str, int], Element]:
        """See `BatchSystem.elements`."""
        names = {job.job_id: job.name for job in jobs if job.job_id is not None}
        if not names:
            return {}
        ids = ",".join(names)
        found: dict[tuple[str, int], Element] = {}
        rest: dict[str, Element] = {}
        for job, index, state, node, reason in _queued(ids):
            if index is None:
                rest[names.get(job, "")] = _element(state, node, reason)
            else:
                found[(names.get(job, ""), index)] = _element(state, node, reason)
        wanted = {(job.name, i) for job in jobs for i in range(len(job.cells))}
        if wanted - found.keys():
            for row in _accounted([f"--jobs={ids}", "--format=JobID,State,NodeList"]):
                job, _, element = row[0].partition("_")
                if element.isdecimal():
                    key = (names.get(job, ""), int(element))
                    found.setdefault(key, _element(row[1], row[2], ""))
        found |= {key: rest[key[0]] for key in wanted - found.keys() if key[0] in rest}
        return {key: element for key, element in found.items() if key in wanted}

    def cancel(self, job: ArrayJob) -> None:
        """See `BatchSystem.cancel`."""
        if job.job_id is not None:
            ask(["scancel", "--state=PENDING", job.job_id])
            ask(["scancel", "--state=RUNNING", "--batch", "--signal=TERM", job.job_id])


def _directives(errand: Errand, site: Site, needs: Needs) -> list[str]:
    throttle = "" if site.at_once is None else f"%{site.at_once}"
    options = [
        f"--job-name={errand.name}",
        f"--array=0-{len(errand.cells) - 1}{throttle}",
        f"--time={_time(site.walltime_s)}",
        f"--signal=B:TERM@{site.margin_s}",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={needs.cpus}",
        "--output=/dev/null",
        "--requeue",
    ]
    if needs.gpus:
        kind = "" if site.gpu_type is None else f"{site.gpu_type}:"
        options.append(f"--gres=gpu:{kind}{needs.gpus}")
    if site.memory_mib is not None:
        options.append(f"--mem={site.memory_mib}M")
    named = {"partition": site.partition, "account": site.account, "qos": site.qos}
    options += [f"--{name}={value}" for name, value in named.items() if value is not None]
    return [f"#SBATCH {option}" for option in (*options, *site.directives)]


def _time(total: int) -> str:
    """Slurm counts in minutes; a part of one is a whole one."""
    minutes = -(-total // 60)
    days, minutes = divmod(minutes, 24 * 60)
    return f"{days}-{minutes // 60:02}:{minutes % 60:02}:00"


def _queued(ids: str) -> list[tuple[str, int | None, str, str, str]]:
    """Job, index, state, node and reason; elements that were cancelled while they waited are one
    row without an index."""
    columns = "--format=%F|%K|%T|%N|%r"
    try:
        text = ask(["squeue", "--noheader", "--array", "--states=all", f"--jobs={ids}", columns])
    except BatchError as error:
        if _FORGOTTEN in str(error):
            return []
        raise
    rows = [line.strip().split("|", 4) for line in text.splitlines()]
    return [
        (row[0], int(row[1]) if row[1].isdecimal() else None, row[2], row[3], row[4])
        for row in rows
        if len(row) == 5
    ]


def _accounted(options: Sequence[str]) -> list[list[str]]:
    """What accounting remembers; many sites keep none, which is no error."""
    try:
        text = ask(["sacct", "--noheader", "--parsable2", "--allocations", *options])
    except BatchError:
        return []
    wanted = options[-1].count(",") + 1
    rows = [line.split("|") for line in text.splitlines()]
    return [row for row in rows if len(row) == wanted]


def _element(state: str, node: str, reason: str) -> Element:
    # sacct says CANCELLED by 1000
    word = state.split()[0] if state.split() else ""
    if word in _WAITING:
        return Element(Phase.WAITING, reason="" if reason in ("None", "(null)") else reason)
    if word in _RUNNING:
        return Element(Phase.RUNNING, node=node)
    return Element(Phase.ENDED, _ENDINGS.get(word, Ending.NORMAL), node)
