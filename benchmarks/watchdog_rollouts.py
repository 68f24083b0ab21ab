"""Are failing GRPO runs caught, and healthy ones left alone? Runs both, and counts.

    python benchmarks/watchdog_cases.py /tmp/planted.jsonl
    a5ctl run sft --init sft-128-k3f9 --data /tmp/planted.jsonl --epochs 3 --lr 3e-4
    python benchmarks/watchdog_rollouts.py --home /tmp/watched --init sft-128-k3f9 \\
        --planted sft-78-m2x7 --rollout-batch 128 --group-size 4 --threads 1
    python benchmarks/watchdog_rollouts.py --judge /tmp/lab --part "held out"

The workspace has to hold the runs that cases begin from. Every case is a run in a process of its
own. A failure counts as caught when the rule that is named for it fires at most ten updates after
the step from which on its symptom is visible in what was recorded (watchdog_cases.py); healthy runs
are to raise nothing. Alarms are read by replaying what a run recorded, so --replay says what the
table of today would have told about runs of before, and --judge what it says about all finished
runs of a workspace that learned from their own responses. Parts of
benchmarks/results/watchdog_rollouts.json that are not named stay as they are.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.watchdog_cases import COPIES, FAILING, HEALTHY, LR, SYMPTOMS, Case  # noqa: E402
from benchmarks.watchdog_false_alarms import replay  # noqa: E402
from core.registry.records import RunRecord  # noqa: E402
from core.registry.store import Registry, open_registry  # noqa: E402
from trainers.watchdog import RULES  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "watchdog_rollouts.json"
UPDATES = 10
"""Within which a failure has to be told."""
_SHOWN = ("right_share", "formatted_share", "truncated_share", "constant_share")
_SHOWN += ("second_think_share", "template_copy_share", "degenerate_share", "rollout_entropy")
_SHOWN += ("engine_gap", "kl", "clip_fraction")
_STALE = f"""\
import core.engines.hf, core.engines.vllm
for engine in (core.engines.hf.HfEngine, core.engines.vllm.VllmEngine):
    def only_first(self, weights, copy=engine.load_weights, copies=[]):
        copies.append(1)
        if len(copies) <= {COPIES}:
            copy(self, weights)
    engine.load_weights = only_first
"""


def run(case: Case, known: argparse.Namespace, seed: int, common: Sequence[str]) -> None:
    """Run one case to its end."""
    script = (_STALE if case.stale else "") + "from a5ctl.app import app\napp()\n"
    steps = known.failing_steps if case.expected else known.healthy_steps
    init = known.planted if case.planted else known.init
    arguments = ["run", "grpo", "--init", init, "--lr", str(LR), "--steps", str(steps)]
    arguments += ["--schedule", "constant", "--set", "evaluation.at_start=false", "--quiet"]
    arguments += [*common, *case.options, "--seed", str(seed), "--name", _tag(case, seed)]
    environment = {**os.environ, "A5CTL_HOME": str(known.home)}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{case.name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def told(registry: Registry, found: RunRecord, expected: Sequence[str]) -> dict[str, Any]:
    """What the table says about a run, and how soon."""
    replayed = replay(registry, found, "")
    if replayed is None:
        return {"run": found.id, "updates": 0, "alarms": [], "expected": {}}
    courses = {
        name: [(point.step, point.value) for point in course]
        for name, course in registry.metrics(found.uuid).items()
    }
    first: dict[str, int] = {}
    for alarm in replayed.alarms:
        step, rule, _ = alarm.split(": ", 2)
        first.setdefault(rule, int(step.removeprefix("step ")))
    # of runs that fail: courses of healthy ones are long
    shown = dict.fromkeys((*_SHOWN, *(SYMPTOMS[rule].metric for rule in expected)))
    shown = shown if expected else {}
    return {
        "run": found.id,
        "updates": replayed.steps,
        "expected": {rule: _how_soon(rule, first, courses) for rule in expected},
        "alarms": replayed.alarms,
        "highest": replayed.highest,
        "courses": {n: [round(v, 4) for _, v in courses[n]] for n in shown if n in courses},
    }


def _how_soon(
    rule: str, first: Mapping[str, int], courses: Mapping[str, Sequence[tuple[int, float]]]
) -> dict[str, Any]:
    """When the failure was visible, when it was told, and whether that was soon enough."""
    symptom = SYMPTOMS[rule]
    visible, alarm = symptom.visible(courses.get(symptom.metric, ())), first.get(rule)
    caught = None  # never seen, or the run ended too soon to say
    if visible is not None and alarm is not None:
        caught = alarm - visible <= UPDATES
    elif visible is not None and courses["loss"][-1][0] - visible >= UPDATES:
        caught = False
    return {"visible": visible, "alarm": alarm, "caught": caught}


def _tag(case: Case, seed: int) -> str:
    return f"watched-{case.name.replace(' ', '-').replace(',', '')}-{seed}"


def _newest(registry: Registry, name: str) -> RunRecord | None:
    named = (run for run in registry.runs() if (run.name or "").startswith(name))
    return next((run for run in named if run.status == "finished"), None)


def judged(home: Path) -> list[dict[str, Any]]:
    """All finished runs of a workspace that learned from their own responses."""
    registry = open_registry(f"sqlite:///{home / 'registry.db'}")
    rows = []
    for found in reversed(registry.runs()):
        if found.kind in ("grpo", "ei") and found.status in ("finished", "interrupted"):
            changed = {"lr": found.config["train"]["lr"], found.kind: found.config[found.kind]}
            recorded = [e for e in registry.events(found.uuid) if e.severity != "info"]
            events = [f"step {e.step}: {e.kind}: {e.message}" for e in recorded]
            row = {"name": found.name, "seed": found.seed, "settings": changed}
            rows.append({**row, "recorded": events, **told(registry, found, ())})
    registry.close()
    return rows


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--init")
    parser.add_argument("--planted", help="the run that planted cases begin from")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--failing-steps", type=int, default=12)
    parser.add_argument("--healthy-steps", type=int, default=15)
    parser.add_argument("--cases", nargs="*", help="names of cases; all when not given")
    parser.add_argument("--replay", action="store_true", help="run nothing, read what was run")
    parser.add_argument("--judge", type=Path, nargs="*", help="workspaces, all runs of which count")
    parser.add_argument("--part", default="built-in model", help="of the file that is written")
    parser.add_argument("--out", type=Path, default=RESULT)
    known, common = parser.parse_known_args()
    if known.judge:
        rows = [row for home in known.judge for row in judged(home)]
        _write(known.out, known.part, [{"failing": False, **row} for row in rows])
        for row in rows:
            _print(row)
        return
    rows = []
    for seed in known.seeds:
        for case in (*FAILING, *HEALTHY):
            if known.cases is not None and case.name not in known.cases:
                continue
            if not known.replay:
                run(case, known, seed, common)
            registry = open_registry(f"sqlite:///{known.home / 'registry.db'}")
            if (found := _newest(registry, _tag(case, seed))) is not None:
                row = {**asdict(case), "seed": seed, "failing": bool(case.expected)}
                rows.append({**row, **told(registry, found, case.expected)})
                _write(known.out, known.part, rows)
                _print(rows[-1])
            registry.close()


def _write(out: Path, part: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace the rows of one part by case and seed."""
    parts = json.loads(out.read_text(encoding="utf-8"))["parts"] if out.is_file() else {}
    new = {(row["name"], row["seed"], row["run"]) for row in rows}
    names = {key[:2] for key in new if key[0]}
    kept = [
        row
        for row in parts.get(part, {}).get("runs", [])
        if (row["name"], row["seed"]) not in names and row["run"] not in {k[2] for k in new}
    ]
    parts[part] = _summary([*kept, *rows])
    result = {"thresholds": {rule.name: rule.threshold for rule in RULES}, "parts": parts}
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _print(row: Mapping[str, Any]) -> None:
    soon = ", ".join(f"{rule} {found}" for rule, found in row["expected"].items())
    print(f"{row['name']}, seed {row['seed']}, {row['run']}, {row['updates']} updates: {soon}")
    for alarm in row["alarms"]:
        print(f"  {alarm}", flush=True)


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    failing = [row for row in rows if row["failing"]]
    healthy = [row for row in rows if not row["failing"]]
    soon = [found for row in failing for found in row["expected"].values()]
    return {
        "failing_runs": len(failing),
        "failures": len(soon),
        "visible": sum(found["visible"] is not None for found in soon),
        "caught": sum(found["caught"] is True for found in soon),
        "missed": sum(found["caught"] is False for found in soon),
        "healthy": len(healthy),
        "healthy_updates": sum(row["updates"] for row in healthy),
        "healthy_with_alarms": sum(bool(row["alarms"]) for row in healthy),
        "runs": list(rows),
    }


if __name__ == "__main__":
    main()
