"""How long `a5ctl diagnose` takes when the registry holds a million responses.

    python benchmarks/diagnose_scale.py --responses 1000000 --repeat 5

Records one run with one evaluation of 1,319 ordinary responses, as any run is recorded, and copies
its rows inside the database: into one run with many evaluations, and into many runs with three
each. Then times the command as whole processes, in turn, in these registries and in one that holds
nothing but a run with three evaluations. The copies have the texts of the first.
"""

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.ordinary import ordinary_responses, read_solved  # noqa: E402
from benchmarks.timing import python, write  # noqa: E402
from core.registry.schema import Evaluation, Response, Run, table  # noqa: E402
from tests.a5ctl import handmade  # noqa: E402

RUN = "sft-full"
_WATCH = """
import json, resource, subprocess, sys, time
begun = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
wall = time.perf_counter() - begun
used = resource.getrusage(resource.RUSAGE_CHILDREN)
figures = {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "mb": used.ru_maxrss / 1024}
print(json.dumps(figures))
"""
EVALUATIONS_OF_A_RUN = 3
VIEWS = {
    "diagnose": ["diagnose", RUN],
    "diagnose --json": ["diagnose", RUN, "--json"],
    "diagnose --by step": ["diagnose", RUN, "--by", "step"],
}


def main() -> None:
    """Build, measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/gsm8k/test.jsonl")
    parser.add_argument("--responses", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--work", type=Path, help="folder for the registries; deleted afterwards")
    given = parser.parse_args()
    problems = read_solved([given.data])
    evaluations = -(-given.responses // len(problems))
    shapes = {
        "small": (1, EVALUATIONS_OF_A_RUN),
        "one run": (1, evaluations),
        "many runs": (-(-evaluations // EVALUATIONS_OF_A_RUN), EVALUATIONS_OF_A_RUN),
    }
    if given.work is not None:
        given.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        homes = {name: Path(folder) / name.replace(" ", "-") for name in shapes}
        figures: dict[str, Any] = {}
        for name, (runs, of_each) in shapes.items():
            begun = time.perf_counter()
            build(homes[name], problems, runs, of_each)
            figures[name] = {
                **_counted(homes[name] / "registry.db"),
                "built_in_seconds": round(time.perf_counter() - begun, 1),
                "views": {view: [] for view in VIEWS},
            }
        for _ in range(given.repeat + 1):
            for name, home in homes.items():
                for view, arguments in VIEWS.items():
                    figures[name]["views"][view].append(timed(arguments, home))
        for figure in figures.values():
            figure["views"] = {view: _best(t[1:]) for view, t in figure["views"].items()}
    print(json.dumps(figures, indent=1))
    write("diagnose_scale", {"bar_seconds": 1.0, "repeat": given.repeat, "registries": figures})


def build(home: Path, problems: Sequence[Any], runs: int, evaluations: int) -> None:
    """A registry of runs with so many evaluations each; the last run is the one to diagnose."""
    home.mkdir(parents=True)
    made = [one.item for one in ordinary_responses(list(problems), len(problems), seed=0)]
    answers = [(item.text, item.finish) for item in made]
    first = handmade.evaluation(
        answers,
        step=0,
        truths=[item.truth for item in made],
        questions={i: problem.question for i, problem in enumerate(problems)},
    )
    handmade.record(home, RUN, [first])
    with closing(sqlite3.connect(home / "registry.db")) as connection:
        for number in range(1, evaluations):
            _copy_evaluation(connection, 1, 1, number)
        for run in range(2, runs + 1):
            values = {"uuid": f"{run:032x}", "id": f"sft-copy-{run:05d}"}
            _copy(connection, "run", 1, run, values)
            for number in range(evaluations):
                _copy_evaluation(connection, run, 1, number)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def timed(arguments: Sequence[str], home: Path) -> dict[str, float]:
    """One process: wall and processor seconds, and its largest memory in MB."""
    command = [sys.executable, "-m", "a5ctl", *arguments, "--home", str(home)]
    # a process counts the memory of the one that it was forked from; so a small one starts it
    return dict(json.loads(python(["-S", "-c", _WATCH, *command])))


def _copy_evaluation(connection: sqlite3.Connection, run: int, template: int, number: int) -> None:
    """The rows of one evaluation once more, for a run and at a step of its own."""
    (new,) = connection.execute("SELECT MAX(key) + 1 FROM evaluation").fetchone()
    values = {"uuid": f"{new:032x}", "run": run, "step": 10 * number, "time": 1e9 + number}
    _copy(connection, "evaluation", template, new, values)
    name = table(Response).name
    columns = [
        f'"{c.name}"' for c in table(Response).columns if c.name not in ("key", "evaluation")
    ]
    kept = ", ".join(columns)
    connection.execute(
        f"INSERT INTO {name} (evaluation, {kept}) SELECT ?, {kept} FROM {name} "
        "WHERE evaluation = ? ORDER BY key",
        (new, template),
    )


def _copy(
    connection: sqlite3.Connection, name: str, old: int, new: int, values: dict[str, Any]
) -> None:
    model = {"run": Run, "evaluation": Evaluation}[name]
    given = {"key": new, **values}
    columns = [column.name for column in table(model).columns]
    chosen = ", ".join("?" if column in given else f'"{column}"' for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    changed = [given[column] for column in columns if column in given]
    sql = f'INSERT INTO "{name}" ({names}) SELECT {chosen} FROM "{name}" WHERE key = ?'
    connection.execute(sql, (*changed, old))


def _counted(path: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        (responses,) = connection.execute("SELECT COUNT(*) FROM response").fetchone()
        (evaluations,) = connection.execute("SELECT COUNT(*) FROM evaluation").fetchone()
        (runs,) = connection.execute("SELECT COUNT(*) FROM run").fetchone()
    megabytes = round(path.stat().st_size / 1e6, 1)
    return {"runs": runs, "evaluations": evaluations, "responses": responses, "mb": megabytes}


def _best(taken: Sequence[dict[str, float]]) -> dict[str, float]:
    """The medians."""
    middle = len(taken) // 2
    return {name: round(sorted(one[name] for one in taken)[middle], 3) for name in taken[0]}


if __name__ == "__main__":
    main()
