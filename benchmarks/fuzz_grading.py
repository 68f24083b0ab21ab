"""Grading under fire: 200,000 damaged and random responses, each timed, with the memory watched.

    python benchmarks/fuzz_grading.py --n 200000 --seed 0

Ordinary responses to GSM8K problems are cut, their tags doubled, removed, shuffled and misspelt,
their numbers changed and control characters put in; the rest is noise, and a few are bombs that
only the time limit ends. Reports exceptions (with their text), the slowest response, and the
resident memory of this process and of its comparison worker along the way. After a time-out the
next worker is started before the next response, and a response that needs one in between gets an
allowance. Exits with 1 when a response raised or took longer.
"""

import argparse
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.grading import responses_of  # noqa: E402
from benchmarks.timing import write  # noqa: E402
from core.responses.grade import (  # noqa: E402
    DEFAULT_TIME_LIMIT_S,
    GraderName,
    GradingItem,
    grade_responses,
)
from core.responses.symbolic import compare_symbolically  # noqa: E402
from core.units import MIB  # noqa: E402
from tests.core.responses.mutations import fuzzed  # noqa: E402

BASES = 20_000
SAMPLES = 20
ALLOWANCE_S = 1.0
"""Beside the limit: killing a worker, and starting one that imports sympy, on a busy machine."""


@dataclass
class Fuzz:
    """What happened."""

    graded: int = 0
    exceptions: list[str] = field(default_factory=list)
    over_limit: list[str] = field(default_factory=list)
    slowest: list[tuple[float, str]] = field(default_factory=list)
    timed_out: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    memory_mib: list[dict[str, float]] = field(default_factory=list)


def run(n: int, seed: int, folder: Path) -> Fuzz:
    """Grade `n` responses one by one."""
    ordinary = [response.item for response in responses_of(folder, BASES)]
    found = Fuzz()
    start_worker()
    for number, item in enumerate(fuzzed(ordinary, n, seed)):
        if number % (n // SAMPLES or 1) == 0:
            found.memory_mib.append({"at": number, **memory_mib()})
        grade_one(item, found)
    found.memory_mib.append({"at": n, **memory_mib()})
    return found


def grade_one(item: GradingItem, found: Fuzz) -> None:
    """Grade one response and note what is worth noting."""
    started = time.perf_counter()
    try:
        (graded,) = grade_responses([item])
    except Exception as error:
        found.exceptions.append(f"{error!r} on {shown(item)}")
        return
    seconds = time.perf_counter() - started
    found.graded += 1
    if any(verdict.timed_out for verdict in graded.verdicts.values()):
        found.timed_out += 1
        start_worker()
    found.classes[str(graded.failures[GraderName.R1_ZERO])] += 1
    found.slowest = sorted([*found.slowest, (seconds, shown(item))], reverse=True)[:5]
    if seconds > DEFAULT_TIME_LIMIT_S + ALLOWANCE_S:
        found.over_limit.append(f"{seconds:.2f} s on {shown(item)}")


def start_worker() -> None:
    """Have a comparison worker that runs."""
    compare_symbolically("x+1", "1+x", 60.0)


def shown(item: GradingItem) -> str:
    """The end of a response, in ASCII and short."""
    return ascii(f"{item.text[-120:]} | {item.truth}")


def memory_mib() -> dict[str, float]:
    """Resident MiB of this process and of its child processes; zeros where there is no /proc."""
    status = Path("/proc/self/statm")
    if not status.is_file():
        return {"process": 0.0, "workers": 0.0}
    children = Path("/proc/self/task").glob("*/children")
    pids = [pid for file in children for pid in file.read_text(encoding="ascii").split()]
    return {"process": resident("self"), "workers": sum(resident(pid) for pid in pids)}


def resident(pid: str) -> float:
    """Resident MiB of one process; 0 when it has just ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * 4096 / MIB


def report(found: Fuzz, seconds: float) -> dict[str, Any]:
    """Print the figures and return them for the file."""
    memory = found.memory_mib
    print(f"{found.graded} responses graded in {seconds:.0f} s, {found.timed_out} timed out")
    print(f"exceptions: {len(found.exceptions)}   over the limit: {len(found.over_limit)}")
    for line in (*found.exceptions[:10], *found.over_limit[:10]):
        print(f"  {line}")
    for slow, text in found.slowest:
        print(f"  {slow:.3f} s  {text}")
    for name, at in (("start", 0), ("middle", len(memory) // 2), ("end", -1)):
        print(
            f"memory at the {name:6}: {memory[at]['process']:.1f} MiB here, "
            f"{memory[at]['workers']:.1f} MiB in the worker"
        )
    return {**asdict(found), "classes": dict(found.classes.most_common())}


def main() -> None:
    """Fuzz, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/gsm8k")
    parser.add_argument("--n", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    started = time.perf_counter()
    found = run(given.n, given.seed, given.data)
    seconds = time.perf_counter() - started
    figures = report(found, seconds)
    limits = {"time_limit_s": DEFAULT_TIME_LIMIT_S, "allowance_s": ALLOWANCE_S}
    write("fuzz_grading", {"seed": given.seed, "seconds": seconds, **limits, **figures})
    sys.exit(bool(found.exceptions or found.over_limit))


if __name__ == "__main__":
    main()
