"""Does the watchdog cry wolf? Replays the runs of registries through its table of rules.

    python benchmarks/watchdog_false_alarms.py --frozen-on A.db B.db --held-out C.db

Thresholds were chosen from the largest signals of the first runs alone; alarms on the others are
the test. A run that stands in several registries counts once, where it comes first. Everything is
written to benchmarks/results/watchdog_false_alarms.json, with the message of every alarm, because a
person has to say which of them are false. What is recorded of a run decides: rules whose metrics it
lacks are silent.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from core.config.schema import TrainSettings  # noqa: E402
from core.registry.records import RunRecord  # noqa: E402
from core.registry.store import Registry, open_registry  # noqa: E402
from trainers.alarms import EvaluationView, StepView  # noqa: E402
from trainers.alarms_evaluations import EVALUATION_RULES  # noqa: E402
from trainers.evaluation_facts import EvaluationFacts, facts_of_record  # noqa: E402
from trainers.watchdog import RULES, UPDATE_RULES, Watchdog  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "watchdog_false_alarms.json"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One run through the table.

    Attributes:
        part: `frozen on` or `held out`.
        highest: The largest signal of every rule that could say something.
        alarms: Messages.
    """

    run: str
    setting: str
    part: str
    steps: int
    evaluations: int
    highest: dict[str, float]
    alarms: list[str]


def replay(registry: Registry, run: RunRecord, part: str) -> Replayed | None:
    """Feed everything a run recorded to a fresh watchdog; None where it took no step."""
    points = registry.metrics(run.uuid)
    if not points.get("loss"):
        return None
    by_step: dict[int, dict[str, float]] = {}
    for name, course in points.items():
        for point in course:
            by_step.setdefault(point.step, {})[name] = point.value
    evaluations = {
        record.step: facts_of_record(record, registry.responses(record.uuid))
        for record in registry.evaluations([run.uuid])
    }
    total = max(by_step)
    # of another version's settings only the one that rules read
    settings = TrainSettings(clip_norm=run.config.get("train", {}).get("clip_norm", 1.0))
    watchdog = Watchdog(settings, total)
    alarms, highest = [], {}
    earlier: tuple[EvaluationFacts, ...] = ()
    for step in sorted(by_step.keys() | evaluations.keys()):
        if step in by_step:
            alarms += watchdog.step(step, by_step[step])
            _raise(highest, _signals(watchdog))
        if step in evaluations:
            alarms += watchdog.evaluation(evaluations[step])
            view = EvaluationView(evaluations[step], earlier, last=step >= total)
            if step > 0:
                pairs = ((rule.name, rule.measure(view)) for rule in EVALUATION_RULES)
                _raise(highest, ((n, m.value) for n, m in pairs if m is not None))
            earlier = (*earlier, evaluations[step])
    return Replayed(
        run=run.id,
        setting=_setting(run),
        part=part,
        steps=total,
        evaluations=len(evaluations),
        highest={name: round(value, 4) for name, value in highest.items()},
        alarms=[f"step {a.step}: {a.rule.name}: {a.measured.text}" for a in alarms],
    )


def _signals(watchdog: Watchdog) -> Iterator[tuple[str, float]]:
    view = StepView(watchdog._history, watchdog.settings)
    for rule in UPDATE_RULES:
        if watchdog._history.keys() >= set(rule.needs):
            measured = rule.measure(view)
            if measured is not None:
                yield rule.name, measured.value


def _raise(highest: dict[str, float], signals: Any) -> None:
    for name, value in signals:
        highest[name] = max(value, highest.get(name, value))


def _setting(run: RunRecord) -> str:
    train = run.config["train"]
    parts = [
        f"model {Path(run.model).name}",
        f"size {run.size}",
        f"seed {run.seed}",
        f"lr {train['lr']}",
    ]
    parts += [f"batch {train['batch_size']}"] if "batch_size" in train else []  # not of rollouts
    parts.append(f"supervise {train.get('supervise', 'response')}")
    return ", ".join(parts)


def _summary(rows: list[Replayed]) -> dict[str, Any]:
    signals: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.highest.items():
            signals.setdefault(name, []).append(value)
    return {
        "runs": len(rows),
        "steps": sum(row.steps for row in rows),
        "runs_with_alarms": sum(bool(row.alarms) for row in rows),
        "highest_signal": {name: max(values) for name, values in sorted(signals.items())},
        "runs_that_could_say": {name: len(values) for name, values in sorted(signals.items())},
    }


def main(frozen_on: Sequence[str], held_out: Sequence[str]) -> None:
    """Replay, print and write."""
    rows: list[Replayed] = []
    seen: set[str] = set()
    for part, paths in (("frozen on", frozen_on), ("held out", held_out)):
        for path in paths:
            registry = open_registry(f"sqlite:///{Path(path).resolve()}")
            new = [run for run in registry.runs() if run.uuid not in seen]
            seen |= {run.uuid for run in new}
            rows += [row for run in new if (row := replay(registry, run, part)) is not None]
            registry.close()
    parts = {part: [r for r in rows if r.part == part] for part in ("frozen on", "held out")}
    result = {
        "thresholds": {rule.name: rule.threshold for rule in RULES},
        "parts": {part: _summary(found) for part, found in parts.items()},
        "runs": [{name: getattr(row, name) for name in Replayed.__slots__} for row in rows],
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: result[k] for k in ("thresholds", "parts")}, indent=1))
    for row in rows:
        for alarm in row.alarms:
            print(f"{row.run} ({row.part}; {row.setting}): {alarm}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frozen-on", nargs="+", required=True)
    parser.add_argument("--held-out", nargs="+", required=True)
    arguments = parser.parse_args()
    main(arguments.frozen_on, arguments.held_out)
