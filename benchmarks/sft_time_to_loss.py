"""Time to the same loss beside TRL: same weights, order, learning rate and precision on both sides.

    python benchmarks/sft_time_to_loss.py --peer-python PEER/bin/python

The built-in model in float32. TRL takes the examples in the order of its file, which is the order
of our run; its fastest configuration that keeps this order is compared. The losses of all steps
must agree, so both sides reach any loss at the same step, and what differs is the time until then:
from the end of the first step to the end of the last, and that of the whole process. The learning
rate is TRL's default: at 30 times as much, rounding alone grows to 1e-4 within four steps.
"""

import argparse
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.sft_jobs import PEERS, Figures, run_ours, run_peer  # noqa: E402
from benchmarks.sft_workload import WORKLOADS, prepare_workload  # noqa: E402
from benchmarks.timing import write  # noqa: E402

TOLERANCE = 1e-4


def seconds_of_steps(figures: Figures) -> float:
    """From the end of the first step to the end of the last."""
    marks = figures.raw["marks"]
    return float(marks[-1][0] - marks[0][0])


def main() -> None:
    """Measure, print, write the figures, and fail when the losses differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True, help="Python of an environment with TRL")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/gsm8k")
    parser.add_argument("--work", type=Path, default=Path("build/sft"), help="folder of the models")
    parser.add_argument("--peer", default="by-1", choices=list(PEERS), help="TRL's configuration")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-5, help="the default is TRL's")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    work, folder = WORKLOADS["builtin"], given.work.resolve()
    prepare_workload(work, folder, given.data)
    ours: list[Figures] = []
    theirs: list[Figures] = []
    for _ in range(given.rounds):
        ours.append(
            run_ours(work, folder, given.steps, train__lr=given.lr, train__precision="float32")
        )
        theirs.append(run_peer(work, folder, given.peer, given.peer_python, given.steps, given.lr))
    pairs = list(zip(ours, theirs, strict=True))
    gaps = [
        abs(a - b) for mine, other in pairs for a, b in zip(mine.losses, other.losses, strict=True)
    ]
    result = {
        "steps": given.steps,
        "learning_rate": given.lr,
        "peer": given.peer,
        "largest_difference": max(gaps),
        "tolerance": TOLERANCE,
        "losses": {"ours": ours[0].losses, "peer": theirs[0].losses},
        "seconds": {
            "ours": [seconds_of_steps(one) for one in ours],
            "peer": [seconds_of_steps(one) for one in theirs],
        },
        "whole_process_seconds": {
            "ours": [one.whole_seconds for one in ours],
            "peer": [one.whole_seconds for one in theirs],
        },
        "share_of_time": statistics.median(
            seconds_of_steps(mine) / seconds_of_steps(other) for mine, other in pairs
        ),
        "share_of_whole_process": statistics.median(
            mine.whole_seconds / other.whole_seconds for mine, other in pairs
        ),
    }
    print(
        f"loss {ours[0].losses[0]:.4f} -> {ours[0].losses[-1]:.4f} in {given.steps} steps; the two "
        f"differ by at most {max(gaps):.1e} (allowed {TOLERANCE:.0e})"
    )
    print(
        f"ours needs {result['share_of_time']:.0%} of the peer's time for the steps, and "
        f"{result['share_of_whole_process']:.0%} of it for the whole process"
    )
    write("sft_time_to_loss", result)
    if max(gaps) > TOLERANCE:
        raise SystemExit("the losses differ by more than rounding explains")


if __name__ == "__main__":
    main()
