"""Are failing GRPO runs caught, and healthy ones left alone? Runs both, and counts.

    PYTHONPATH=. python benchmarks/watchdog_rollouts.py --home /tmp/watched --init sft-128-k3f9

The workspace has to hold the run that all of them begin from. Every case is a run of its own in a
process of its own; the case of a stale engine leaves out every copy of the weights but the first.
Failing cases say within how many updates which rules fired; healthy ones are to raise none.
Everything is written to benchmarks/results/watchdog_rollouts.json (or --out), with the message of
every alarm and the largest signal of every rule. Alarms are read by replaying what a run recorded,
so that --replay says what the table of today would have told about the runs that a workspace holds.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.config.schema import TrainSettings
from core.registry.records import MetricPoint
from core.registry.store import open_registry
from trainers.alarms import StepView
from trainers.watchdog import RULES, UPDATE_RULES, Watchdog

RESULT = Path(__file__).parent / "results" / "watchdog_rollouts.json"
UPDATES = 10
_LR = 1e-4
_SHOWN = ("right_share", "formatted_share", "truncated_share", "constant_share")
_SHOWN += ("rollout_entropy", "engine_gap")
_STALE = """\
import core.engines.hf, core.engines.vllm
for engine in (core.engines.hf.HfEngine, core.engines.vllm.VllmEngine):
    def only_once(self, weights, copy=engine.load_weights, copies=[]):
        copies.append(1)
        if len(copies) == 1:
            copy(self, weights)
    engine.load_weights = only_once
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One run.

    Attributes:
        name: What is special about it.
        options: Of `a5ctl run grpo`.
        expected: The rules of which at least one has to fire; empty for a healthy run.
        stale: The engine misses its copies.
    """

    name: str
    options: tuple[str, ...]
    expected: tuple[str, ...] = ()
    stale: bool = False


FAILING = (
    Case(
        "learning rate 100 times too high",
        ("--lr", str(100 * _LR)),
        ("reward_lost", "entropy_exploded", "rollout_format_lost"),
    ),
    Case("missed weight copies", ("--lr", str(_LR)), ("engine_gap",), stale=True),
    Case(
        "reward for the format alone",
        ("--reward", "format=1", "--lr", str(30 * _LR)),
        ("constant_answer", "format_hacked", "reward_lost"),
    ),
    Case(
        "reward for short formatted responses",
        ("--reward", "format=1,length=-1", "--lr", str(30 * _LR)),
        ("constant_answer", "format_hacked", "reward_lost"),
    ),
    Case("reward for length", ("--reward", "length=1", "--lr", str(30 * _LR)), ("drift_into_cap",)),
)
HEALTHY = (
    Case("default", ()),
    Case("lower rate", ("--lr", str(_LR / 3))),
    Case("no std normalization", ("--no-std-normalization",)),
    Case("constant length", ("--length-normalization", "constant")),
    Case("off-policy", ("--train-batch", "16", "--lr", str(_LR / 3))),
    Case("no baseline", ("--loss", "no_baseline", "--lr", str(_LR / 3))),
    Case("kl", ("--kl", "0.05")),
    Case("format and answer", ("--reward", "answer=1,format=0.1")),
)


def run(case: Case, home: Path, init: str, seed: int, common: Sequence[str]) -> dict[str, Any]:
    """Run one case, and read what its watchdog said."""
    tag = f"{_tag(case, seed)}{os.getpid()}"
    script = (_STALE if case.stale else "") + "from a5ctl.app import app\napp()\n"
    arguments = ["run", "grpo", "--init", init, "--lr", str(_LR), *common, *case.options]
    arguments += ["--seed", str(seed), "--name", tag, "--set", "evaluation.at_start=false", "-q"]
    environment = {**os.environ, "A5CTL_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{case.name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return replay(case, home, seed, tag)[0]


def replay(case: Case, home: Path, seed: int, name: str) -> list[dict[str, Any]]:
    """What the table says about the newest finished run of a case; empty where there is none."""
    registry = open_registry(f"sqlite:///{home / 'registry.db'}")
    named = (run for run in registry.runs() if (run.name or "").startswith(name))
    found = next((run for run in named if run.status == "finished"), None)
    rows = []
    if found is not None:
        told = _told(registry.metrics(found.uuid))
        rows = [{**asdict(case), "seed": seed, "run": found.id, **told}]
    registry.close()
    return rows


def _tag(case: Case, seed: int) -> str:
    return f"watched-{case.name.replace(' ', '-')}-{seed}-"


def _told(courses: Mapping[str, Sequence[MetricPoint]]) -> dict[str, Any]:
    by_step: dict[int, dict[str, float]] = {}
    for name, course in courses.items():
        for point in course:
            by_step.setdefault(point.step, {})[name] = point.value
    watchdog, alarms, highest = Watchdog(TrainSettings(), len(by_step)), [], {}
    for step in sorted(by_step):
        found = watchdog.step(step, by_step[step])
        alarms += [[step, a.rule.name, a.measured.text] for a in found]
        view = StepView(watchdog._history, watchdog.settings)
        for rule in UPDATE_RULES:
            if watchdog._history.keys() >= set(rule.needs) and (measured := rule.measure(view)):
                value = round(measured.value, 4)
                highest[rule.name] = max(value, highest.get(rule.name, value))
    return {
        "updates": len(by_step),
        "alarms": alarms,
        "highest": highest,
        "courses": {
            name: [round(point.value, 4) for point in courses[name]]
            for name in _SHOWN
            if name in courses
        },
    }


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--init", required=True)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--healthy-steps", type=int, default=15)
    parser.add_argument("--cases", nargs="*", help="names of cases; all when not given")
    parser.add_argument("--replay", action="store_true", help="run nothing, read what was run")
    parser.add_argument("--out", type=Path, default=RESULT)
    known, common = parser.parse_known_args()
    rows: list[dict[str, Any]] = []
    for seed in known.seeds:
        for case in (*FAILING, *HEALTHY):
            if known.cases and case.name not in known.cases:
                continue
            if known.replay:
                found = replay(case, known.home, seed, _tag(case, seed))
            else:
                steps = UPDATES if case.expected else known.healthy_steps
                found = [run(case, known.home, known.init, seed, [*common, "--steps", str(steps)])]
            for row in found:
                told = ", ".join(f"{kind} at {step}" for step, kind, _ in row["alarms"])
                text = f"{case.name}, seed {seed}, {row['updates']} updates: {told or 'silent'}"
                print(text, flush=True)
            rows += found
            known.out.write_text(json.dumps(_summary(rows), indent=1) + "\n", encoding="utf-8")


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    failing = [row for row in rows if row["expected"]]
    healthy = [row for row in rows if not row["expected"]]
    caught = [row for row in failing if {kind for _, kind, _ in row["alarms"]} & {*row["expected"]}]
    return {
        "thresholds": {rule.name: rule.threshold for rule in RULES},
        "failing": len(failing),
        "caught": len(caught),
        "healthy": len(healthy),
        "healthy_updates": sum(row["updates"] for row in healthy),
        "healthy_with_alarms": sum(bool(row["alarms"]) for row in healthy),
        "runs": rows,
    }


if __name__ == "__main__":
    main()
