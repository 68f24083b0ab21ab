"""Peak memory of training beside TRL's default, both above that of the imported libraries.

    python benchmarks/sft_memory.py --peer-python PEER/bin/python

Each side trains the same steps in a process of its own that reads the kernel's high-water mark of
its resident memory (VmHWM) twice: behind the imports, and at the end of the last step. TRL's
default checkpoints activations and computes in bfloat16; ours is as installed too. TRL gets one
thread, which changes its time but not its memory.
"""

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.sft_jobs import run_ours, run_peer  # noqa: E402
from benchmarks.sft_workload import WORKLOADS, prepare_workload  # noqa: E402
from benchmarks.timing import write  # noqa: E402

BAR = 0.7
STEPS = {"builtin": 3, "50m": 2, "05b": 2}


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True, help="Python of an environment with TRL")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/gsm8k")
    parser.add_argument("--work", type=Path, default=Path("build/sft"), help="folder of the models")
    parser.add_argument("--only", nargs="*", default=list(WORKLOADS), choices=list(WORKLOADS))
    parser.add_argument("--peer", default="default-1-thread", help="TRL's configuration")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    folder = given.work.resolve()
    result: dict[str, Any] = {"bar": BAR, "peer": given.peer}
    for name in given.only:
        work, steps = WORKLOADS[name], STEPS[name]
        prepare_workload(work, folder, given.data)
        ours, theirs = [], []
        for _ in range(given.rounds):
            ours.append(run_ours(work, folder, steps).extra_mib)
            theirs.append(run_peer(work, folder, given.peer, given.peer_python, steps).extra_mib)
        share = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        result[name] = {"steps": steps, "ours_mib": ours, "peer_mib": theirs, "share": share}
        print(
            f"{name:8} ours {statistics.median(ours):6.0f} MiB, TRL "
            f"{statistics.median(theirs):6.0f} MiB: {share:.2f} of it (bar {BAR})",
            flush=True,
        )
        write("sft_memory", result)


if __name__ == "__main__":
    main()
