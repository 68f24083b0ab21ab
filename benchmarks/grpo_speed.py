"""Time of a GRPO step beside TRL's GRPOTrainer, phase by phase.

    python benchmarks/grpo_speed.py --peer-python PEER/bin/python --search     (once)
    python benchmarks/grpo_speed.py --peer-python PEER/bin/python

Both sides take the same weights, ask the same questions in the same order with groups of eight and
the same cap, on-policy, sampling with transformers in this process (ours: the `hf` engine), one
update per batch with the same optimizer settings; grpo_workload.py says which. Processes alternate
(ours, ours without skipping, TRL's best, TRL's default, ours, ...), and the ratios are medians over
the rounds. Lengths are random where responses end as they like, so the ratio per response token
stands beside the ratio per step. TRL's grading is one regular expression; ours grades under every
grader and records each response.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.grpo_jobs import (  # noqa: E402
    GRPO_PEERS,
    PHASES,
    GrpoFigures,
    run_grpo_ours,
    run_grpo_peer,
)
from benchmarks.grpo_workload import GRPO_WORKLOADS, GrpoWorkload, prepare_grpo  # noqa: E402
from benchmarks.timing import write  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
BAR = 1.5
_OURS, _WHOLE = "ours", "ours, nothing skipped"


def search(work: GrpoWorkload, folder: Path, peer: str, names: list[str]) -> None:
    """Try configurations of TRL once each and store what they give beside what is known."""
    for name in names:
        try:
            brief = replace(work, steps=work.warmup + 1)
            entry: dict[str, Any] = run_grpo_peer(brief, folder, name, peer).summary()
            show(work.name, name, entry)
        except RuntimeError as error:
            entry = {"failed": str(error).strip().splitlines()[-1]}
            print(f"{work.name:12} {name:22} failed: {entry['failed'][:100]}", flush=True)
        known = read("grpo_speed_search")
        known.setdefault(work.name, {})[name] = entry
        write("grpo_speed_search", known)


def best_of(work: GrpoWorkload) -> str:
    """The configuration that the search found fastest.

    Raises:
        SystemExit: there was no search.
    """
    found = read("grpo_speed_search").get(work.name, {})
    tried = {name: entry for name, entry in found.items() if "failed" not in entry}
    if not tried:
        raise SystemExit(f"no search of TRL's configurations for {work.name}; use --search first")
    return min(tried, key=lambda name: cost(tried[name]))


def cost(entry: dict[str, Any]) -> float:
    """Time per token; with one thread, other work on the machine is not held against it."""
    wall, processor = entry["step_seconds"], entry["cpu_seconds"]
    spent = min(wall, processor) if entry["threads"] == 1 else wall
    return float(spent / entry["response_tokens_of_a_step"])


def measure(
    work: GrpoWorkload, folder: Path, peer: str, sides: list[str], rounds: int
) -> Iterator[dict[str, Any]]:
    """Alternate the sides; the figures so far after every round."""
    taken: dict[str, list[GrpoFigures]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, figures in taken.items():
            figures.append(_run(work, folder, peer, name))
            show(work.name, name, figures[-1].summary())
        yield _together(work, taken)


def _run(work: GrpoWorkload, folder: Path, peer: str, name: str) -> GrpoFigures:
    if name == _OURS:
        return run_grpo_ours(work, folder)
    if name == _WHOLE:
        return run_grpo_ours(work, folder, grpo__skip_zero_advantage=False)
    return run_grpo_peer(work, folder, name, peer)


def _together(work: GrpoWorkload, taken: dict[str, list[GrpoFigures]]) -> dict[str, Any]:
    own, peers = [n for n in taken if n in (_OURS, _WHOLE)], [n for n in taken if n in GRPO_PEERS]
    ours = taken[own[0]][0].raw
    return {
        "rollouts": work.rollouts,
        "cap": work.cap,
        "fixed": work.fixed,
        "steps": work.steps - work.warmup,
        "sides": {name: [f.summary() for f in figures] for name, figures in taken.items()},
        "ratios": {
            f"{name} / {side}": ratio(taken[side], taken[name]) for name in peers for side in own
        },
        "bar": BAR,
        "settings": ours["settings"],
        "last_metrics": ours["last"],
        "versions": {"ours": ours["versions"], "peer": taken[peers[0]][0].raw["versions"]},
    }


def ratio(ours: list[GrpoFigures], theirs: list[GrpoFigures]) -> dict[str, Any]:
    """Medians over the rounds of their time as a multiple of ours, whole and by phase."""
    pairs = list(zip(ours, theirs, strict=True))

    def over(a: float, b: float) -> float | None:
        return b / a if a > 0 else None

    phases = {}
    for phase in (*PHASES, "update"):
        found = [over(a.phases[phase], b.phases[phase]) for a, b in pairs]
        known = [value for value in found if value is not None]
        phases[phase] = statistics.median(known) if known else None
    return {
        "step": statistics.median(b.step_seconds / a.step_seconds for a, b in pairs),
        "step_cpu": statistics.median(b.cpu_seconds / a.cpu_seconds for a, b in pairs),
        "per_token": statistics.median(
            (b.step_seconds / b.tokens) / (a.step_seconds / a.tokens) for a, b in pairs
        ),
        "per_token_cpu": statistics.median(
            (b.cpu_seconds / b.tokens) / (a.cpu_seconds / a.tokens) for a, b in pairs
        ),
        "phases": phases,
    }


def show(work: str, name: str, entry: dict[str, Any]) -> None:
    """One line per process."""
    phases = "  ".join(f"{phase} {seconds:.2f}" for phase, seconds in entry["phases"].items())
    print(
        f"{work:12} {name:22} {entry['step_seconds']:6.2f} s a step ({entry['cpu_seconds']:.2f} "
        f"CPU): {phases}; {entry['response_tokens_of_a_step']:,.0f} tokens, "
        f"{entry['right_share']:.0%} right, {entry['peak_mib_above_imports']:.0f} MiB",
        flush=True,
    )


def read(name: str) -> dict[str, Any]:
    """Stored figures by workload."""
    path = RESULTS / f"{name}.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {key: value for key, value in known.items() if key != "machine"}


def main() -> None:
    """Search, or measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True, help="Python of an environment with TRL")
    parser.add_argument("--work", type=Path, default=Path("build/grpo"), help="folder of the model")
    names = list(GRPO_WORKLOADS)
    parser.add_argument("--only", nargs="*", default=names, choices=names)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--search", action="store_true", help="try TRL's configurations")
    parser.add_argument("--configs", nargs="*", default=list(GRPO_PEERS), choices=list(GRPO_PEERS))
    parser.add_argument("--best", help="compare with this configuration, not the searched one")
    parser.add_argument("--steps", type=int, help="steps of a process, the first one not timed")
    parser.add_argument(
        "--sides", nargs="*", default=[_OURS, _WHOLE, "best", "default"], help="what alternates"
    )
    given = parser.parse_args()
    folder = given.work.resolve()
    prepare_grpo(folder)
    for work in map(GRPO_WORKLOADS.__getitem__, given.only):
        if given.search:
            search(work, folder, given.peer_python, given.configs)
            continue
        timed = replace(work, steps=given.steps or work.steps)
        best = given.best or best_of(work)
        sides = [best if side == "best" else side for side in given.sides]
        for found in measure(timed, folder, given.peer_python, sides, given.rounds):
            write("grpo_speed", {**read("grpo_speed"), work.name: found})
        for name, got in found["ratios"].items():
            print(
                f"{work.name:12} {name}: {got['step']:.2f} per step, {got['per_token']:.2f} per "
                f"token by wall time, {got['step_cpu']:.2f} and {got['per_token_cpu']:.2f} by "
                f"processor time; bar {BAR}"
            )


if __name__ == "__main__":
    main()
