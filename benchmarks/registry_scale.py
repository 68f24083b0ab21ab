"""How long the program takes to answer on large registries, as whole processes.

    python benchmarks/registry_scale.py --work WORK
    python benchmarks/registry_scale.py --work WORK --sizes 10000x20 --repeat 5

Makes the registries that are not in WORK yet (`registry_generator.py`; a size is RUNSxSTEPS of 20
metrics), then runs every command in rounds (A B C, A B C, ...) beside a bare `python -c pass`. CPU
seconds are those of the process, memory its high-water mark; medians go to
benchmarks/results/registry_scale.json.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.registry_generator import Size, generate  # noqa: E402
from benchmarks.registry_runs import LARGE_GROUP  # noqa: E402
from benchmarks.timing import python, summary, write  # noqa: E402
from core.registry.store import Registry, open_registry  # noqa: E402

METRICS = 20
_WHERE = "kind = sft and size >= 512 and accuracy > 0.3"
_FIGURES = ("wall", "cpu", "mib")


def commands(registry: Registry) -> dict[str, list[str]]:
    """What is measured, with runs that the registry has."""
    runs = [run for run in registry.runs() if run.status == "finished" and run.kind == "sft"]
    one = runs[0]
    group = next(run.group for run in runs if run.group != LARGE_GROUP and run.group)
    large = registry.count_runs(group=LARGE_GROUP)
    found = {
        "ls": ["ls"],
        "ls --where --sort": ["ls", "--where", _WHERE, "--sort", "-accuracy"],
        "ls --columns": ["ls", "--columns", "id,train.lr,metric.loss.min,accuracy"],
        "ls --limit 0": ["ls", "--limit", "0"],
        "compare 5 runs": ["compare", *(run.id for run in runs[:5])],
        "compare group": ["compare", "--group", group or ""],
        "compare group --baseline": ["compare", "--group", group or "", "--baseline", one.id],
        "compare everything": ["compare"],
        "compare --by": ["compare", "--by", "kind,size"],
        "compare --spark loss": ["compare", "--spark", "loss"],
        "compare --at budget": ["compare", "--at", "budget", "--kind", "sft"],
        "compare --follow-lineage": ["compare", "--follow-lineage"],
        "show": ["show", one.id],
        "diagnose": ["diagnose", one.id],
        "diagnose --by step": ["diagnose", one.id, "--by", "step"],
        "plot loss": ["plot", "loss", one.id],
        "plot of a group": ["plot", "loss,accuracy", "--group", group or ""],
        "plot of 5 runs": ["plot", "loss,accuracy", *(run.id for run in runs[:5])],
    }
    if large:
        found[f"compare group of {large}"] = ["compare", "--group", LARGE_GROUP]
    return found


# a process starts out with the memory of the one that makes it, so a small one does that
_LAUNCHER = """import json, os, sys, time
null = os.open(os.devnull, os.O_RDWR)
begun = time.perf_counter()
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ,
    file_actions=[(os.POSIX_SPAWN_DUP2, null, stream) for stream in (0, 1)])
_, status, used = os.wait4(process, 0)
wall = time.perf_counter() - begun
cpu = used.ru_utime + used.ru_stime
print(json.dumps([status, {"wall": wall, "cpu": cpu, "mib": used.ru_maxrss / 1024}]))"""


def measured(arguments: list[str], home: Path) -> dict[str, float]:
    """Wall and CPU seconds and the peak of memory, in MiB, of one process."""
    launch = ["-I", "-S", "-c", _LAUNCHER, sys.executable, *arguments]
    status, figures = json.loads(python(launch, A5CTL_HOME=str(home), COLUMNS="120"))
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed with {status}")
    return dict(figures)


def measure_all(home: Path, repeat: int, only: str) -> dict[str, dict[str, Any]]:
    """Every command in rounds; the first round warms the caches and does not count."""
    registry = open_registry(f"sqlite:///{home / 'registry.db'}")
    calls: dict[str, Callable[[], dict[str, float]]] = {
        "python -c pass": partial(measured, ["-c", "pass"], home)
    }
    for name, arguments in commands(registry).items():
        if only in name:
            calls[name] = partial(measured, ["-m", "a5ctl", *arguments], home)
    registry.close()
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
    for _ in range(repeat + 1):
        for name, call in calls.items():
            taken[name].append(call())
    return {
        name: {figure: summary([one[figure] for one in found[1:]]) for figure in _FIGURES}
        for name, found in taken.items()
    }


def prepared(work: Path, size: str, responses: int) -> Path:
    """The workspace of a size; made where it is not there."""
    home = work / f"registry-{size}"
    if not (home / "registry.db").exists():
        runs, steps = map(int, size.split("x"))
        home.mkdir(parents=True, exist_ok=True)
        generate(home, Size(runs, steps, METRICS, max(8, responses // (3 * runs))))
    return home


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sizes", default="1000x10,1000x1200,10000x20")
    parser.add_argument("--responses", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", default="", help="commands that have this in their name")
    given = parser.parse_args()
    results = {}
    for size in given.sizes.split(","):
        home = prepared(given.work, size, given.responses)
        figures = measure_all(home, given.repeat, given.only)
        results[size] = {"bytes": (home / "registry.db").stat().st_size, "commands": figures}
        print(size)
        for name, found in figures.items():
            wall, cpu, mib = (found[figure]["median"] for figure in _FIGURES)
            print(f"   {name:28} wall {wall:6.2f} s   cpu {cpu:6.2f} s   {mib:5.0f} MiB")
    if not given.only:
        settings = {"repeat": given.repeat, "metrics": METRICS, "load": os.getloadavg()[0]}
        write("registry_scale", {**settings, "sizes": results})


if __name__ == "__main__":
    main()
