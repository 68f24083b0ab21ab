"""Several Ray nodes on this machine, and how to lose one as if its power had failed."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUICK = {
    "worker_niceness": 0,
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 4,
}


@dataclass(frozen=True, slots=True)
class Nodes:
    """A head and workers with one CPU each."""

    cluster: Any

    @property
    def head(self) -> int:
        """The raylet of the head."""
        return int(self.cluster.head_node.all_processes["raylet"][0].process.pid)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def lose_node_of(self, pid: int) -> set[int]:
        """Kill everything on the node that a process is on, at one stroke; what was killed."""
        node = raylet_of(pid)
        doomed = {node, *descendants(node)}
        for number in (signal.SIGSTOP, signal.SIGKILL):  # nothing sees another thing die
            for each in doomed:
                os.kill(each, number)
        return doomed


@contextmanager
def ray_nodes(workers: int, head_cpus: int = 0) -> Iterator[Nodes]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": head_cpus,
            "_system_config": QUICK,
            "object_store_memory": 80 * 2**20,
            "include_dashboard": False,
        },
    )
    try:
        for _ in range(workers):
            cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        yield Nodes(cluster)
    finally:
        cluster.shutdown()


def raylet_of(pid: int) -> int:
    while "raylet" not in _command(pid)[:1][0]:
        pid = _parent(pid)
        assert pid > 1, "the process is on no node of Ray"
    return pid


def descendants(pid: int) -> set[int]:
    parents = {int(p.name): _parent(int(p.name)) for p in Path("/proc").glob("[0-9]*")}
    found: set[int] = set()
    todo = [pid]
    while todo:
        parent = todo.pop()
        children = {child for child, of in parents.items() if of == parent} - found
        found |= children
        todo += children
    return found


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def _command(pid: int) -> list[str]:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return [os.path.basename(word.decode(errors="replace")) for word in words[:1]] or [""]
