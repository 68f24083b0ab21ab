"""How much room a registry takes for responses, beside their plain text.

    python benchmarks/response_size.py --data ../shared/data/gsm8k [--registry REGISTRY]

Records evaluations of one run in a temporary registry and measures by how much the whole file has
grown after a checkpoint of its log. Plain text is the UTF-8 bytes of the responses, nothing else.
Several kinds of responses: ordinary ones to the 1,319 test problems (`ordinary.py`), ordinary ones
to the 1,319 training problems with the longest solutions, the worked solutions of people (each
once, so that no evaluation is like another), and what real runs answered, from a registry; where
none is given, what was measured of such runs before stays in the results.
"""

import argparse
import json
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.ordinary import Solved, ordinary_responses, read_solved  # noqa: E402
from benchmarks.timing import write  # noqa: E402
from core.engines.base import FinishReason  # noqa: E402
from core.evaluation import EvaluationResult  # noqa: E402
from core.registry.recorder import Recorder  # noqa: E402
from core.registry.records import NewRun  # noqa: E402
from core.registry.store import Registry, open_registry  # noqa: E402
from core.workspace import Workspace, open_workspace  # noqa: E402
from tests.a5ctl import handmade  # noqa: E402

_REAL = "real, "
PROBLEMS = 1319
EVALUATIONS = 5


@dataclass(frozen=True)
class Asked:
    """One evaluation: what was asked, and what was answered."""

    problems: Sequence[Solved]
    answers: Sequence[handmade.Answer]


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/gsm8k")
    parser.add_argument("--registry", type=Path, help="with real responses; it is only read")
    given = parser.parse_args()
    cases = {
        "ordinary, test": _ordinary(read_solved([given.data / "test.jsonl"])),
        "ordinary, long": _ordinary(_longest(read_solved([given.data / "train.jsonl"]))),
        "people, no two alike": _people(read_solved([given.data / "train.jsonl"])),
    }
    if given.registry is not None:
        cases |= {f"{_REAL}{name}": found for name, found in _real(given.registry).items()}
    figures = {name: measure(evaluations) for name, evaluations in cases.items()}
    known = {} if given.registry is not None else _known()
    for name, figure in figures.items():
        print(name, json.dumps(figure, indent=1))
    write("response_size", {"bar": 0.35, "cases": {**figures, **known}})


def _known() -> dict[str, Any]:
    """Figures of real runs, as they were measured last."""
    path = ROOT / "benchmarks" / "results" / "response_size.json"
    cases = json.loads(path.read_text(encoding="utf-8"))["cases"] if path.exists() else {}
    return {name: figure for name, figure in cases.items() if name.startswith(_REAL)}


def measure(evaluations: Sequence[Asked]) -> dict[str, Any]:
    """What each evaluation adds to a registry, and of what the whole file consists."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(Path(folder))
        registry = open_registry(workspace.registry_url())
        path = workspace.root / "registry.db"
        empty = _bytes(path)
        _record(registry, workspace, "sft", [_evaluation(evaluations[0], 0, only_problems=True)])
        sizes = [_bytes(path)]
        run = registry.create_run(_new_run("sft-full"))
        with Recorder(registry, run.uuid, workspace.run_folder(run.id)) as recorder:
            for step, asked in enumerate(evaluations):
                recorder.evaluation(_evaluation(asked, step))
                if not recorder.flush(timeout=600):
                    raise SystemExit(f"not stored: {recorder.problem}")
                sizes.append(_bytes(path))
        registry.close()
        plain = [sum(len(text.encode()) for text, _ in asked.answers) for asked in evaluations]
        grown = [after - before for before, after in pairwise(sizes)]
        count = sum(len(asked.answers) for asked in evaluations)
        return {
            "responses_each": len(evaluations[0].answers),
            "plain_bytes_each": round(sum(plain) / count),
            "share_by_evaluation": [
                round(room / text, 3) for room, text in zip(grown, plain, strict=True)
            ],
            "share": round(sum(grown) / sum(plain), 3),
            "share_with_problems": round((sizes[-1] - empty) / sum(plain), 3),
            "bytes_per_response": _parts(path, count),
        }


def _record(
    registry: Registry, workspace: Workspace, run_id: str, results: list[EvaluationResult]
) -> None:
    run = registry.create_run(_new_run(run_id))
    with Recorder(registry, run.uuid, workspace.run_folder(run.id)) as recorder:
        for result in results:
            recorder.evaluation(result)


def _new_run(run_id: str) -> NewRun:
    return NewRun("sft", {"kind": "sft"}, "0" * 16, "builtin", "gsm8k", seed=0, id=run_id)


def _evaluation(asked: Asked, step: int, *, only_problems: bool = False) -> EvaluationResult:
    """As an engine's answers would become one; for the problems alone every answer is empty."""
    answers = [("", finish) for _, finish in asked.answers] if only_problems else asked.answers
    return handmade.evaluation(
        list(answers),
        step=step,
        truths=[problem.truth for problem in asked.problems],
        questions={i: problem.question for i, problem in enumerate(asked.problems)},
    )


def _bytes(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def _parts(path: Path, responses: int) -> dict[str, float]:
    """Bytes for each response: its text, and every table and index that grew."""
    with closing(sqlite3.connect(path)) as connection:
        (text,) = connection.execute("SELECT SUM(LENGTH(text)) FROM answer").fetchone()
        (count,) = connection.execute("SELECT COUNT(*) FROM answer").fetchone()
        pages = "SELECT name, SUM(pgsize) FROM dbstat GROUP BY name"
        found = dict(connection.execute(pages).fetchall())
    parts = {name: room / responses for name, room in found.items() if room > responses}
    parts["answer"] = (found["answer"] - text) / count
    parts = {name: round(room, 1) for name, room in parts.items() if name != "problem"}
    return {"text": round(text / responses, 1), **parts}


def _ordinary(problems: Sequence[Solved]) -> list[Asked]:
    chosen = list(problems[:PROBLEMS])
    found = []
    for seed in range(EVALUATIONS):
        made = [one.item for one in ordinary_responses(chosen, len(chosen), seed)]
        found.append(Asked(chosen, [(item.text, item.finish) for item in made]))
    return found


def _longest(problems: Sequence[Solved]) -> list[Solved]:
    return sorted(problems, key=lambda problem: len(problem.steps), reverse=True)[:PROBLEMS]


def _people(problems: Sequence[Solved]) -> list[Asked]:
    """Worked solutions in tags; each evaluation is about other problems, which is the worst case.

    They are recorded as answers to the first problems, so that the problems are stored once.
    """
    found = []
    for start in range(0, EVALUATIONS * PROBLEMS, PROBLEMS):
        chosen = problems[start : start + PROBLEMS]
        texts = [f" {p.steps} </think> <answer> {p.truth} </answer>" for p in chosen]
        answers = [(text, FinishReason.STOP_STRING) for text in texts]
        found.append(Asked(problems[: len(chosen)], answers))
    return found


def _real(path: Path) -> dict[str, list[Asked]]:
    """The evaluations of the runs with the most responses, by run."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "registry.db"
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        return _evaluations_of(open_registry(f"sqlite:///{copy}"))


def _evaluations_of(registry: Registry) -> dict[str, list[Asked]]:
    runs = {run.uuid: run for run in registry.runs(archived=True)}
    found: dict[str, list[Asked]] = {}
    evaluations = sorted(registry.evaluations(list(runs)), key=lambda e: (e.run_uuid, e.step))
    for evaluation in evaluations:
        if evaluation.n < 1000 or evaluation.n > 2 * PROBLEMS:
            continue
        rows = registry.responses(evaluation.uuid)
        problems = [Solved(row.question, "", row.truth) for row in rows]
        answers = [(row.text, FinishReason(row.finish)) for row in rows]
        found.setdefault(runs[evaluation.run_uuid].id, []).append(Asked(problems, answers))
    registry.close()
    longest = sorted(found, key=lambda name: len(found[name]), reverse=True)[:3]
    return {name: found[name] for name in longest}


if __name__ == "__main__":
    main()
