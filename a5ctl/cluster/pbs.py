"""OpenPBS, PBS Professional and Torque, by qsub, qstat, qselect, qsig and qdel."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from a5ctl.cluster.batch import ArrayJob, BatchError, Element, Ending, Phase, ask, require
from a5ctl.cluster.needs import Needs
from a5ctl.cluster.script import Errand, script_text
from a5ctl.cluster.site import PbsKind, Site

_INDEX = {
    PbsKind.OPENPBS: "${PBS_ARRAY_INDEX:-0}",
    PbsKind.TORQUE: "${PBS_ARRAYID:-0}",
}
_WAITING = set("QHWTM")
_RUNNING = set("RBSUE")
# what PBS writes down as exit status where it ended a job itself; 271 is SIGTERM from outside
_ENDINGS = {
    PbsKind.OPENPBS: {
        "-29": Ending.OUT_OF_TIME,
        "-27": Ending.OUT_OF_MEMORY,
        "271": Ending.CANCELLED,
        "-18": Ending.NODE_LOST,
        "-13": Ending.NODE_LOST,
        "-23": Ending.PREEMPTED,
    },
    PbsKind.TORQUE: {
        "-11": Ending.OUT_OF_TIME,
        "-10": Ending.OUT_OF_MEMORY,
        "271": Ending.CANCELLED,
    },
}
_ELEMENT = re.compile(r"(?P<number>\d+)(?:\[(?P<index>\d*)\])?(?P<server>\..*)?")
_FORGOTTEN = ("Unknown Job Id", "unknown job id", "has finished", "Unknown queue")


class Pbs:
    """PBS's programs on PATH.

    Args:
        kind: Which of the two families.
    """

    def __init__(self, kind: PbsKind) -> None:
        self._kind = kind
        self.name = kind.value

    def check(self) -> None:
        """See `BatchSystem.check`."""
        require(("qsub", "qstat", "qselect", "qsig", "qdel"), "pbs")

    def script(self, errand: Errand, site: Site, needs: Needs) -> str:
        """The script of an array."""
        directives = _directives(self._kind, errand, site, needs)
        # PBS gives a job that is over its time a few seconds, and no word before that
        limit = site.walltime_s - site.margin_s
        return script_text(errand, site, directives, _INDEX[self._kind], limit)

    def submit_command(self, script: Path) -> list[str]:
        """See `BatchSystem.submit_command`."""
        return ["qsub", str(script)]

    def submit(self, script: Path, environment: Mapping[str, str]) -> str:
        """See `BatchSystem.submit`."""
        # functions of the shell, which qsub -V hands on in a form that no shell can read
        kept = {k: v for k, v in environment.items() if not k.startswith("BASH_FUNC_")}
        return ask(self.submit_command(script), kept).split()[-1]

    def find(self, name: str) -> str | None:
        """See `BatchSystem.find`."""
        past = ["-x"] if self._kind is PbsKind.OPENPBS else []
        return next(iter(ask(["qselect", *past, "-N", name]).split()), None)

    def elements(self, jobs: Sequence[ArrayJob]) -> dict[tuple[str, int], Element]:
        """See `BatchSystem.elements`."""
        found = {}
        for job in jobs:
            if job.job_id is not None:
                for index, element in self._of(job.job_id).items():
                    if index < len(job.cells):
                        found[(job.name, index)] = element
        return found

    def cancel(self, job: ArrayJob) -> None:
        """See `BatchSystem.cancel`."""
        if job.job_id is None:
            return
        for index, element in self._of(job.job_id).items():
            name = element_id(job.job_id, index)
            if element.phase is Phase.RUNNING:
                _unless_gone(["qsig", "-s", "SIGTERM", name])
            elif element.phase is Phase.WAITING:
                _unless_gone(["qdel", name])

    def _of(self, job_id: str) -> dict[int, Element]:
        past = "-xtf" if self._kind is PbsKind.OPENPBS else "-tf"
        text = _unless_gone(["qstat", past, job_id])
        return parse_status(text, self._kind)


def parse_status(text: str, kind: PbsKind = PbsKind.OPENPBS) -> dict[int, Element]:
    """The elements in what `qstat -f` prints; a job that is no array is element 0."""
    found = {}
    # long values go on in lines that begin with a tab
    for block in re.split(r"(?m)^Job Id:\s*", text.replace("\n\t", ""))[1:]:
        head, _, rest = block.partition("\n")
        job = _ELEMENT.fullmatch(head.strip())
        if job is None or job["index"] == "":
            continue
        values = dict(re.findall(r"(?m)^\s+([\w.]+) = (.*)$", rest))
        found[int(job["index"] or 0)] = _element(values, kind)
    return found


def element_id(job_id: str, index: int) -> str:
    """The name of one element: `12[].server` becomes `12[3].server`."""
    return job_id.replace("[]", f"[{index}]", 1)


def _element(values: Mapping[str, str], kind: PbsKind) -> Element:
    state = values.get("job_state", "")[:1]
    node = values.get("exec_host", "").partition("/")[0]
    if state in _WAITING and state:
        return Element(Phase.WAITING, reason=values.get("comment", "")[:80])
    if state in _RUNNING and state:
        return Element(Phase.RUNNING, node=node)
    status = values.get("Exit_status", values.get("exit_status", ""))
    return Element(Phase.ENDED, _ENDINGS[kind].get(status, Ending.NORMAL), node)


def _unless_gone(command: Sequence[str]) -> str:
    try:
        return ask(command)
    except BatchError as error:
        if any(phrase in str(error) for phrase in _FORGOTTEN):
            return ""
        raise


def _directives(kind: PbsKind, errand: Errand, site: Site, needs: Needs) -> list[str]:
    options = [f"-N {errand.name}", "-S /bin/bash", "-V", "-j oe", "-o /dev/null", "-r y"]
    options += _array(kind, len(errand.cells), site.at_once)
    options.append(f"-l walltime={_time(site.walltime_s)}")
    options += (_select if kind is PbsKind.OPENPBS else _nodes)(site, needs)
    named = {"-q": site.queue, "-A": site.account}
    options += [f"{flag} {value}" for flag, value in named.items() if value is not None]
    return [f"#PBS {option}" for option in (*options, *site.directives)]


def _array(kind: PbsKind, count: int, at_once: int | None) -> list[str]:
    if count == 1:
        return []  # OpenPBS refuses an array of one
    throttle = "" if at_once is None else f"%{at_once}"
    flag = "-J" if kind is PbsKind.OPENPBS else "-t"
    return [f"{flag} 0-{count - 1}{throttle}"]


def _select(site: Site, needs: Needs) -> list[str]:
    parts = ["select=1", f"ncpus={needs.cpus}"]
    if needs.gpus:
        parts.append(f"ngpus={needs.gpus}")
    if site.gpu_type is not None and needs.gpus:
        parts.append(f"gpu_type={site.gpu_type}")
    if site.memory_mib is not None:
        parts.append(f"mem={site.memory_mib}mb")
    return [f"-l {':'.join(parts)}"]


def _nodes(site: Site, needs: Needs) -> list[str]:
    parts = ["nodes=1", f"ppn={needs.cpus}"]
    if needs.gpus:
        parts.append(f"gpus={needs.gpus}")
    if site.gpu_type is not None and needs.gpus:
        parts.append(site.gpu_type)
    memory = [] if site.memory_mib is None else [f"-l mem={site.memory_mib}mb"]
    return [f"-l {':'.join(parts)}", *memory]


def _time(total: int) -> str:
    return f"{total // 3600:02}:{total % 3600 // 60:02}:{total % 60:02}"
