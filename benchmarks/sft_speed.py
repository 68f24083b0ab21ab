"""Training speed beside TRL's SFTTrainer: real tokens per second of training step.

    python benchmarks/sft_speed.py --peer-python PEER/bin/python --search     (once, half an hour)
    python benchmarks/sft_speed.py --peer-python PEER/bin/python

Both sides train the same model from the same weights on the same examples in the same order and
number per step, with the same optimizer settings; sft_workload.py says which. That both tokenize
alike is checked by a hash over ids and labels. Processes alternate (ours, best, default, ours,
...), and the ratios are medians over the rounds. `--search` tries every configuration of TRL once
(or those that `--configs` names) and stores the figures; the fastest per model is TRL's best.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.sft_jobs import PEERS, Figures, run_ours, run_peer  # noqa: E402
from benchmarks.sft_workload import WORKLOADS, Workload, prepare_workload  # noqa: E402
from benchmarks.timing import python, write  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
SEARCH_STEPS = {"builtin": 6, "50m": 3, "05b": 3}
SEARCHED = {
    "builtin": tuple(PEERS),
    "50m": (
        "default",
        "padded",
        "by-1",
        "by-1-bf16",
        "by-1-bf16-2-threads",
        "grouped",
        "grouped-bf16",
        "packed-1024",
    ),
    "05b": ("default", "padded", "padded-bf16", "by-1", "by-1-bf16", "grouped", "grouped-bf16"),
}
BARS = {"builtin": {"default": 4.0, "best": 2.0}, "50m": {"best": 1.5}, "05b": {"best": 1.15}}
DEFAULT_STEPS = 4


def search(works: list[Workload], folder: Path, peer: str, configs: list[str]) -> None:
    """Try configurations of TRL once each and store what they give beside what is known."""
    path = RESULTS / "sft_speed_search.json"
    for work in works:
        for name in configs or SEARCHED[work.name]:
            entry = try_peer(work, folder, name, peer)
            known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            known.setdefault(work.name, {})[name] = entry
            write("sft_speed_search", {k: v for k, v in known.items() if k != "machine"})


def try_peer(work: Workload, folder: Path, name: str, peer: str) -> dict[str, Any]:
    """Figures and losses of one configuration, or why it does not run."""
    try:
        figures = run_peer(work, folder, name, peer, SEARCH_STEPS[work.name])
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        print(f"{work.name:8} {name:20} failed: {reason[:80]}", flush=True)
        return {"failed": reason}
    print(
        f"{work.name:8} {name:20} {figures.rate:8.1f} tok/s  {figures.cpu_rate:8.1f} per "
        f"CPU second  {figures.extra_mib:6.0f} MiB  loss {figures.losses[0]:.5f}",
        flush=True,
    )
    return {**figures.summary(), "losses": figures.losses}


def best_of(name: str) -> str:
    """The configuration that the search found fastest for this model.

    Raises:
        SystemExit: there was no search.
    """
    path = RESULTS / "sft_speed_search.json"
    if not path.exists():
        raise SystemExit("no search of TRL's configurations yet; run this with --search first")
    found = json.loads(path.read_text(encoding="utf-8"))[name]
    return max((k for k, v in found.items() if "failed" not in v), key=lambda k: speed(found[k]))


def speed(entry: dict[str, Any]) -> float:
    """Tokens per second; with one thread, other work on the machine is not held against it."""
    wall, processor = entry["tokens_per_second"], entry["tokens_per_cpu_second"]
    return float(max(wall, processor) if entry["threads"] == 1 else wall)


def measure(
    work: Workload, folder: Path, peer: str, best: str, rounds: int, ours: dict[str, Any]
) -> dict[str, Any]:
    """Alternate ours, TRL's best and, where there is a bar for it, TRL's default."""
    wanted = [best] if "default" not in BARS[work.name] else [best, "default"]
    names = list(dict.fromkeys(wanted))  # the default can be the best
    taken: dict[str, list[Figures]] = {"ours": [], **{name: [] for name in names}}
    for _ in range(rounds):
        taken["ours"].append(run_ours(work, folder, work.steps, **ours))
        for name in names:
            steps = DEFAULT_STEPS if name == "default" else work.steps
            taken[name].append(run_peer(work, folder, name, peer, steps))
    check_same_texts(taken)
    operations = run_ours(work, folder, work.steps, count_operations=True, **ours)
    return {
        "best": best,
        **{name: [f.summary() for f in figures] for name, figures in taken.items()},
        "ratios": {
            "best": ratio(taken["ours"], taken[best]),
            **({"default": ratio(taken["ours"], taken["default"])} if "default" in names else {}),
        },
        "bars": BARS[work.name],
        "settings": taken["ours"][0].raw["settings"],
        "operations": operations.raw["operations"],
        "seconds": statistics.median(figures.seconds for figures in taken["ours"]),
        "losses": {name: figures[0].losses for name, figures in taken.items()},
        "versions": {
            "ours": taken["ours"][0].raw["versions"],
            "peer": taken[best][0].raw["versions"],
        },
    }


def ratio(ours: list[Figures], theirs: list[Figures]) -> dict[str, float]:
    """Medians over the rounds of our rate as a multiple of theirs."""
    pairs = list(zip(ours, theirs, strict=True))
    return {
        "wall": statistics.median(a.rate / b.rate for a, b in pairs),
        "cpu": statistics.median(a.cpu_rate / b.cpu_rate for a, b in pairs),
    }


def check_same_texts(taken: dict[str, list[Figures]]) -> None:
    """Both sides must have made the same ids and labels of the same texts.

    Raises:
        SystemExit: they have not; the comparison would be worth nothing.
    """
    made = {
        json.dumps(figures[0].raw["tokenized"])
        for figures in taken.values()
        if figures[0].raw["tokenized"]
    }
    if len(made) != 1:
        raise SystemExit(f"the two sides tokenize differently: {made}")


def report(name: str, found: dict[str, Any], rates: dict[str, float]) -> None:
    """Print one model's table, and put the share of the matrix rate beside it."""
    for side in ("ours", found["best"], "default"):
        if side in found:
            wall = statistics.median(one["tokens_per_second"] for one in found[side])
            cpu = statistics.median(one["tokens_per_cpu_second"] for one in found[side])
            memory = max(one["peak_mib_above_imports"] for one in found[side])
            whole = statistics.median(one["whole_process_seconds"] for one in found[side])
            print(
                f"{name:8} {side:20} {wall:8.1f} tok/s  {cpu:8.1f} per CPU second  "
                f"{memory:6.0f} MiB  process {whole:5.1f} s"
            )
    for against, bar in found["bars"].items():
        got = found["ratios"][against]
        print(
            f"{name:8} against its {against}: {got['wall']:.2f} by wall time, {got['cpu']:.2f} by "
            f"processor time; bar {bar}"
        )
    threads = found["ours"][0]["threads"]
    achieved = found["operations"] / found["seconds"] / 1e9
    found["matrix"] = {
        "achieved_gflops": achieved,
        "rates_gflops": rates,
        "share": {
            key: achieved / value for key, value in rates.items() if key.endswith(f" {threads}")
        },
    }
    shares = ", ".join(f"{v:.0%} of {k}" for k, v in found["matrix"]["share"].items())
    print(f"{name:8} matrix products at {achieved:.1f} billion operations a second: {shares}")


def main() -> None:
    """Search, or measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True, help="Python of an environment with TRL")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/gsm8k")
    parser.add_argument("--work", type=Path, default=Path("build/sft"), help="folder of the models")
    parser.add_argument("--only", nargs="*", default=list(WORKLOADS), choices=list(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--search", action="store_true", help="try TRL's configurations")
    parser.add_argument("--configs", nargs="*", default=[], choices=list(PEERS), metavar="NAME")
    parser.add_argument("--best", help="compare with this configuration, not the searched one")
    parser.add_argument("--set", nargs="*", default=[], help="our settings: train__threads=1")
    given = parser.parse_args()
    folder = given.work.resolve()
    works = [WORKLOADS[name] for name in given.only]
    for work in works:
        prepare_workload(work, folder, given.data)
    if given.search:
        search(works, folder, given.peer_python, given.configs)
        return
    ours = {key: _value(text) for key, _, text in (item.partition("=") for item in given.set)}
    path = RESULTS / "sft_speed.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    rates = json.loads(python([str(ROOT / "benchmarks/matrix_rate.py"), *given.only]))
    for work in works:
        best = given.best or best_of(work.name)
        found = measure(work, folder, given.peer_python, best, given.rounds, ours)
        report(work.name, found, rates[work.name])
        known[work.name] = found
        write("sft_speed", {k: v for k, v in known.items() if k != "machine"})


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main()
