"""Makes a registry as large as wanted in little time, with rows as the recorder writes them.

    python benchmarks/registry_generator.py HOME --runs 1000 --steps 1000 --metrics 20
    python benchmarks/registry_generator.py HOME --runs 10000 --steps 20 --responses 1000000

Runs come from `registry_runs.py`. A few evaluations go through the real recorder; all others are
their copies in bulk, and metrics are written straight into the tables. At the end the summaries of
some runs are computed again by the registry itself and compared. There are no run folders.
"""

import argparse
import json
import random
import sqlite3
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from sqlmodel import SQLModel

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.ordinary import FORMS, Solved  # noqa: E402
from benchmarks.registry_runs import MadeRun, make_runs, metric_names  # noqa: E402
from benchmarks.registry_summaries import check_summaries, summary_of  # noqa: E402
from core.data.load import load_data  # noqa: E402
from core.registry import schema  # noqa: E402
from core.registry.processes import host_name  # noqa: E402
from core.registry.recorder import Recorder  # noqa: E402
from core.registry.records import NewRun  # noqa: E402
from core.registry.schema import table  # noqa: E402
from core.registry.store import Registry, open_registry  # noqa: E402
from core.workspace import open_workspace  # noqa: E402
from tests.a5ctl.handmade import evaluation, protocol  # noqa: E402

_LEVELS = 10
_WRONG = ("wrong number", "unclosed", "truncated", "no tags")
_STEP_S = 3.0
_PROVENANCE = {
    "argv": ["a5ctl", "run", "sft", "--size", "256"],
    "git": {"commit": "c0ffee" * 6, "dirty": False, "diff": ""},
    "packages": {f"package-{number}": f"{number}.1.0" for number in range(16)},
    "machine": {"os": "Linux", "cpu": "EPYC", "cores": 2, "memory_bytes": 2**34, "gpus": []},
}
_EVENTS = 20  # findings of preflight and the like, with every run


@dataclass(frozen=True, slots=True)
class Size:
    """How large a registry is made; `problems` are those of one evaluation."""

    runs: int
    steps: int
    metrics: int
    problems: int
    evaluations: int = 3
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Template:
    """A recorded evaluation to copy: its row, and where its responses are."""

    row: dict[str, Any]
    first: int
    last: int


def generate(home: Path, size: Size) -> dict[str, Any]:
    """Make the registry of a new workspace.

    Returns:
        Rows and CPU seconds of every part, wall seconds, and the bytes of the file.
    """
    registry = open_registry(open_workspace(home).registry_url())
    path = registry.database.path
    assert path is not None
    begun = time.perf_counter()
    source = _record_templates(registry, home, size)
    registry.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -200000")
        connection.execute("BEGIN")
        taken = _Filler(connection, size, source).fill()
        # the source stays: what its responses are compressed with may be its own
        connection.execute("UPDATE run SET archived = 1 WHERE uuid = ?", (source,))
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    check_summaries(registry, size.seed)
    registry.close()
    taken |= {"seconds": time.perf_counter() - begun, "bytes": path.stat().st_size}
    return {name: round(value, 2) for name, value in taken.items()}


def _record_templates(registry: Registry, home: Path, size: Size) -> str:
    """Evaluations of every level under two protocols; returns the run that has them."""
    rng = random.Random(size.seed)
    data = load_data("builtin").split("test")
    asked = [data[number % len(data)] for number in range(size.problems)]
    solved = [Solved(p.question, p.reasoning or "", p.truth) for p in asked]
    hardness = [rng.random() for _ in solved]
    right = FORMS["plain number"][1]
    others = [FORMS[name][1] for name in _WRONG]
    run = registry.create_run(NewRun("sft", {}, "0" * 16, "builtin", "builtin", id="templates"))
    with Recorder(registry, run.uuid, home / "templates") as recorder:
        for number in range(2 * _LEVELS):
            share = (number // 2 + 0.5) / _LEVELS
            makers = [
                right if rng.gauss(hard, 0.2) < share else rng.choice(others) for hard in hardness
            ]
            items = [make(problem, rng) for make, problem in zip(makers, solved, strict=True)]
            result = evaluation(
                [(item.text, item.finish) for item in items],
                step=number,
                protocol=protocol(max_tokens=256 + 256 * (number % 2)),
                questions={i: problem.question for i, problem in enumerate(solved)},
                truths=[problem.truth for problem in solved],
            )
            recorder.evaluation(result)
    return run.uuid


class _Filler:
    """Writes everything into one open transaction."""

    def __init__(self, connection: sqlite3.Connection, size: Size, source: str) -> None:
        self._connection = connection
        self._size = size
        self._rng = random.Random(size.seed + 1)
        self._noise = np.random.default_rng(size.seed)
        self._names: dict[str, int] = {}
        self._templates = self._read_templates(source)
        last = connection.execute("SELECT MAX(key) FROM response").fetchone()[0]
        self._next_response = last + 1
        last = connection.execute("SELECT MAX(key) FROM evaluation").fetchone()[0]
        self._next_evaluation = last + 1
        self._first_run = connection.execute("SELECT MAX(key) FROM run").fetchone()[0]
        # verdicts, and what texts are compressed with, are shared with the templates
        self._copy_answers = _copying(table(schema.Response).name)

    def fill(self) -> dict[str, float]:
        spent = dict.fromkeys(("runs", "metrics", "responses"), 0.0)
        rows = 0
        for run in make_runs(self._size.runs, self._size.steps, self._size.seed, time.time()):
            parts = (self._run, self._metrics, self._evaluations)
            for part, write in zip(spent, parts, strict=True):
                begun = time.process_time()
                rows += write(run)
                spent[part] += time.process_time() - begun
        counted = self._connection.execute("SELECT COUNT(*) FROM response").fetchone()[0]
        figures = {f"{part}_cpu_seconds": seconds for part, seconds in spent.items()}
        return {**figures, "metric_rows": rows, "response_rows": counted}

    def _read_templates(self, source: str) -> list[Template]:
        cursor = self._connection.execute(
            "SELECT e.* FROM evaluation e JOIN run r ON r.key = e.run WHERE r.uuid = ? "
            "ORDER BY e.step",
            (source,),
        )
        names = [column[0] for column in cursor.description]
        found = []
        for row in cursor.fetchall():
            one = dict(zip(names, row, strict=True))
            bounds = "SELECT MIN(key), MAX(key) FROM response WHERE evaluation = ?"
            found.append(Template(one, *self._connection.execute(bounds, (one["key"],)).fetchone()))
        return found

    def _key(self, run: MadeRun) -> int:
        return self._first_run + run.key

    def _run(self, run: MadeRun) -> int:
        data, began = run.config["data"], run.status != "queued"
        seconds = self._size.steps * _STEP_S
        ended = run.created + seconds if run.status not in ("queued", "running") else None
        row = {
            "key": self._key(run),
            **{name: getattr(run, name) for name in ("uuid", "id", "kind", "name", "group")},
            **{name: getattr(run, name) for name in ("status", "parent_uuid", "config_hash")},
            "created": run.created,
            "archived": run.archived,
            "note": run.note,
            "seed": run.config["seed"],
            "model": run.config["model"]["source"],
            "data": data["source"],
            "size": data.get("size"),
            "started": run.created + 2 if began else None,
            "ended": ended,
            "heartbeat": ended if began else None,
            "host": host_name(),
            "pid": 2**22 + run.key,
            "process_start": "boot/1/1",
            "exit_reason": "completed" if run.status == "finished" else None,
            "folder": f"runs/{run.id}",
            "journal_bytes": 0,
            "tags": json.dumps(run.tags),
            "config": json.dumps(run.config),
            "provenance": json.dumps(_PROVENANCE),
        }
        self._insert("run", [row])
        if run.resumed:
            start = {"number": 1, "start_step": self._resumed_at, "time": run.created + 1}
            self._insert("segment", [{"run": row["key"], **start}])
        self._insert("event", self._events(run))
        return 0

    def _events(self, run: MadeRun) -> list[dict[str, Any]]:
        return [
            {
                "uuid": f"{run.uuid}{number:04x}",
                "run": self._key(run),
                "time": run.created + number / 10,
                "severity": "info" if number else "warning",
                "kind": f"preflight.check_{number}",
                "message": "every target is accepted by the run's own grader, as it should be",
            }
            for number in range(_EVENTS)
        ]

    @property
    def _resumed_at(self) -> int:
        return self._size.steps // 2

    def _metrics(self, run: MadeRun) -> int:
        """Every metric with its summary; a resumed run has recorded steps twice."""
        if run.kind == "eval" or run.status == "queued":
            return 0
        whole = run.status in ("finished", "failed")
        steps = np.arange(1, self._size.steps + 1 if whole else max(2, self._size.steps * 3 // 4))
        stretches = [(0, steps)]
        if run.resumed:
            beyond = steps <= self._resumed_at + self._size.steps // 10
            stretches = [(0, steps[beyond]), (1, steps[steps > self._resumed_at])]
        names = metric_names(run.kind, self._size.metrics)
        rows, summaries = 0, []
        for key, name in sorted((self._name(name), name) for name in names):
            visible = []
            for segment, taken in stretches:
                values = self._curve(name, taken, run)
                self._write_metric(run, key, segment, taken, values)
                seen = taken <= self._resumed_at if run.resumed and segment == 0 else taken > 0
                visible.append((taken[seen], values[seen]))
                rows += len(taken)
            summaries.append((self._key(run), key, *summary_of(visible)))
        self._insert_many("metric_summary", summaries)
        return rows

    def _curve(self, name: str, steps: np.ndarray, run: MadeRun) -> np.ndarray:
        """A curve that falls, rises or wanders, with noise; a failed run ends without numbers."""
        if name in ("tokens_total", "epoch"):
            return steps * 4096.0
        part = steps / self._size.steps
        course = np.exp(-4 * part) if _trait(name) % 2 else run.quality * (1 - np.exp(-3 * part))
        values = course + 0.05 * self._noise.standard_normal(len(steps))
        if run.status == "failed" and name in ("loss", "grad_norm"):
            values[-1:] = np.nan
        return values

    def _write_metric(
        self, run: MadeRun, name: int, segment: int, steps: np.ndarray, values: np.ndarray
    ) -> None:
        finite = np.isfinite(values)
        kept: list[float | None] = values.tolist()
        special: Iterable[str | None] = repeat(None, len(steps))
        if not finite.all():
            kept = [v if good else None for v, good in zip(kept, finite, strict=True)]
            special = [None if good else "nan" for good in finite]
        times = (run.created + _STEP_S * steps).tolist()
        self._insert_many(
            "metric",
            zip(
                *(repeat(part, len(steps)) for part in (self._key(run), name, segment)),
                *(steps.tolist(), kept, special, times),
                strict=True,
            ),
        )

    def _name(self, name: str) -> int:
        if name not in self._names:
            self._names[name] = len(self._names) + 1
            self._insert("metric_name", [{"key": self._names[name], "name": name}])
        return self._names[name]

    def _evaluations(self, run: MadeRun) -> int:
        if run.status == "queued":
            return 0
        count = 1 if run.kind == "eval" else self._size.evaluations
        together = ""
        for number in range(count):
            part = number / (count - 1) if count > 1 else 1.0
            level = run.quality * (0.2 + 0.8 * part)
            template = self._templates[2 * min(_LEVELS - 1, int(level * _LEVELS)) + run.protocol]
            step = 0 if run.kind == "eval" else round(part * self._size.steps)
            self._copy(template, run, step)
            together = f"{template.row['protocol']}"
        generation, grading = self._connection.execute(
            "SELECT generation, grading FROM protocol WHERE key = ?", (together,)
        ).fetchone()
        self._connection.execute(
            "UPDATE run SET protocol_hash = ? WHERE key = ?",
            (f"{generation}:{grading}", self._key(run)),
        )
        return 0

    def _copy(self, template: Template, run: MadeRun, step: int) -> None:
        key, shift = self._next_evaluation, self._next_response - template.first
        segment = int(run.resumed and step > self._resumed_at)
        changed = {
            "key": key,
            "uuid": f"{run.uuid}{step:08x}",
            "run": self._key(run),
            "segment": segment,
            "step": step,
            "time": run.created + _STEP_S * step,
        }
        self._insert("evaluation", [template.row | changed])
        copied = {"shift": shift, "evaluation": key, "first": template.first, "last": template.last}
        self._connection.execute(self._copy_answers, copied)
        self._next_evaluation += 1
        self._next_response += template.last - template.first + 1

    def _insert(self, name: str, rows: list[dict[str, Any]]) -> None:
        columns = ", ".join(f'"{column}"' for column in rows[0])
        places = ", ".join(f":{column}" for column in rows[0])
        self._connection.executemany(f'INSERT INTO "{name}" ({columns}) VALUES ({places})', rows)

    def _insert_many(self, name: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Whole rows, in the order of the columns."""
        places = ", ".join("?" for _ in SQLModel.metadata.tables[name].columns)
        self._connection.executemany(f'INSERT INTO "{name}" VALUES ({places})', rows)


def _copying(name: str) -> str:
    """Copies responses with their keys moved on, for another evaluation."""
    columns = [column.name for column in SQLModel.metadata.tables[name].columns]
    taken = {"key": '"key" + :shift', "evaluation": ":evaluation"}
    values = ", ".join(taken.get(column, f'"{column}"') for column in columns)
    listed = ", ".join(f'"{column}"' for column in columns)
    return f"""INSERT INTO "{name}" ({listed})
        SELECT {values} FROM "{name}" WHERE "key" BETWEEN :first AND :last"""


def _trait(name: str) -> int:
    """A number for a name, the same in every process."""
    return sum(name.encode())


def main() -> None:
    """Make it, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--metrics", type=int, default=20)
    parser.add_argument("--responses", type=int, default=100_000, help="about so many in all")
    parser.add_argument("--evaluations", type=int, default=3, help="of every run")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    problems = max(8, given.responses // (given.runs * given.evaluations))
    size = Size(given.runs, given.steps, given.metrics, problems, given.evaluations, given.seed)
    figures = generate(given.home, size)
    rate = figures["metric_rows"] / max(figures["metrics_cpu_seconds"], 1e-9)
    print(json.dumps(figures, indent=2))
    print(f"{rate:,.0f} metric rows per CPU second; {figures['bytes'] / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
