"""Many processes record into one registry while others list, compare, tag, delete, check, back up.

    python benchmarks/many_writers.py --writers 16 --batches 10000

Every writer records one run through the recorder that runs use, as fast as `--rate` allows: metrics
of every step, an event now and then, an evaluation now and then. At the end everything is compared,
value by value, with what was recorded. Whatever a command prints about a lock is an error.
"""

import argparse
import contextlib
import json
import math
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.timing import write  # noqa: E402
from core.evaluation import EvaluationResult  # noqa: E402
from core.registry.recorder import Recorder  # noqa: E402
from core.registry.store import Registry, open_registry  # noqa: E402
from core.registry.writer import Writer  # noqa: E402
from core.workspace import Workspace, open_workspace  # noqa: E402
from tests.core.registry.conftest import answer, evaluation_result, new_run  # noqa: E402

_EVENT_EVERY = 500
_EVALUATION_EVERY = 1000
_RESPONSES = 32
_VICTIM_STEPS = 2000
_LOOKS = (
    ("ls",),
    ("compare",),
    ("ls", "--json", "--limit", "200"),
    ("show", "writer-0"),
    ("ls", "--where", "kind=sft and size>=128", "--columns", "accuracy,status"),
)


def values_of(writer: int, step: int) -> dict[str, float]:
    """The metrics of one step; another writer and another step have others."""
    x = 1000.0 * writer + step
    return {
        "loss": math.exp(-x / 7919.0),
        "grad_norm": math.sin(x),
        "lr": x / 3.0,
        "tokens_per_second": x * 1.1,
        "odd": math.nan if step % 97 == 0 else -x,
    }


def result_of(writer: int, step: int) -> EvaluationResult:
    """A small evaluation."""
    texts = [answer((writer + step + number) % 50) for number in range(_RESPONSES)]
    return evaluation_result(texts, step=step)


def record(home: Path, writer: int, batches: int, rate: float) -> dict[str, Any]:
    """Be one writer; returns its figures."""
    workspace = open_workspace(home)
    registry = open_registry(workspace.registry_url())
    run = registry.create_run(new_run(id=f"writer-{writer}", name=f"writer {writer}"))
    begun, waits, holds = [0.0], [0.0], [0.0]
    store_batch, check_place = Writer._store_batch, Writer._check_place

    def timed(this: Writer) -> None:
        begun[0] = time.perf_counter()
        store_batch(this)
        holds.append(time.perf_counter() - begun[0] - waits[-1])

    def begins(this: Writer, connection: Any) -> int:
        waits.append(time.perf_counter() - begun[0])  # the transaction holds the lock by now
        return check_place(this, connection)

    Writer._store_batch = timed  # type: ignore[method-assign]
    Writer._check_place = begins  # type: ignore[method-assign]
    problems = set()
    started = time.perf_counter()
    longest_call = 0.0
    with Recorder(registry, run.uuid, workspace.run_folder(run.id)) as recorder:
        for step in range(1, batches + 1):
            before = time.perf_counter()
            recorder.metrics(step, values_of(writer, step))
            if step % _EVENT_EVERY == 0:
                recorder.event("info", "milestone", f"step {step}", step=step)
            if step % _EVALUATION_EVERY == 0:
                recorder.evaluation(result_of(writer, step))
            longest_call = max(longest_call, time.perf_counter() - before)
            ahead = started + step / rate - time.perf_counter()
            if ahead > 0.01:
                time.sleep(ahead)
            if recorder.problem:
                problems.add(recorder.problem)
    return {
        "seconds": time.perf_counter() - started,
        "commits": len(holds) - 1,
        "waits": waits[1:],
        "holds": holds[1:],
        "longest_call": longest_call,
        "problems": sorted(problems),
    }


def look(home: Path, kind: str) -> dict[str, Any]:
    """Be somebody at the command line until the file `stop` appears; returns the figures."""
    from typer.testing import CliRunner

    from a5ctl.app import app

    os.environ["A5CTL_HOME"] = str(home)
    runner, waits, errors = CliRunner(), [], []
    rounds = 0
    while not (home / "stop").exists():
        for command in commands(home, kind, rounds):
            started = time.perf_counter()
            done = runner.invoke(app, [*command])
            waits.append((time.perf_counter() - started, " ".join(command)))
            if done.exit_code or "locked" in done.output:
                errors.append(f"{' '.join(command)}: {done.output.strip() or done.exception!r}")
        rounds += 1
        time.sleep(0.2)
    longest, command = max(waits)
    return {"commands": len(waits), "longest": longest, "slowest": command, "errors": errors}


def commands(home: Path, kind: str, number: int) -> list[tuple[str, ...]]:
    """What somebody does next."""
    if kind == "reader":
        return list(_LOOKS)
    if kind == "keeper":
        copy = str(home / "copy.db")
        return [("registry", "backup", copy, "--force"), ("registry", "check", "--quick")]
    victim = make_victim(home, f"victim-{number}", _VICTIM_STEPS)
    return [("tag", victim, "+old"), ("delete", victim, "--yes")]


def make_victim(home: Path, name: str, steps: int) -> str:
    """A finished run to delete."""
    workspace = open_workspace(home)
    registry = open_registry(workspace.registry_url())
    run = registry.create_run(new_run(id=name))
    with Recorder(registry, run.uuid, workspace.run_folder(run.id)) as recorder:
        for step in range(1, steps + 1):
            recorder.metrics(step, values_of(99, step))
        recorder.evaluation(result_of(99, steps))
    registry.close()
    return run.id


def differences(
    registry: Registry, workspace: Workspace, writer: int, batches: int
) -> tuple[int, list[str]]:
    """Rows of one run that were compared, and what is missing or wrong in it."""
    run = registry.find_run(f"writer-{writer}")
    wrong = [] if run.status == "finished" else [f"{run.id} is {run.status}"]
    curves, rows = registry.metrics(run.uuid), 0
    for name in values_of(0, 0):
        found = [(point.step, repr(point.value)) for point in curves.get(name, [])]
        expected = [(s, repr(values_of(writer, s)[name])) for s in range(1, batches + 1)]
        rows += len(expected)
        if found != expected:
            wrong.append(f"{run.id}: {name} has {len(found)} of {len(expected)} values")
    steps = list(range(_EVALUATION_EVERY, batches + 1, _EVALUATION_EVERY))
    evaluations = registry.evaluations([run.uuid])
    if [record.step for record in evaluations] != steps:
        wrong.append(f"{run.id} has {len(evaluations)} of {len(steps)} evaluations")
    for stored in evaluations:
        texts = [response.text for response in registry.responses(stored.uuid)]
        rows += len(texts)
        if texts != [row.text for row in result_of(writer, stored.step).responses]:
            wrong.append(f"{run.id}: responses of step {stored.step} differ")
    events = registry.events(run.uuid)
    milestones = [event.step for event in events if event.kind == "milestone"]
    if milestones != list(range(_EVENT_EVERY, batches + 1, _EVENT_EVERY)):
        wrong.append(f"{run.id} has {len(milestones)} milestones")
    wrong += [f"{run.id}: {e.message}" for e in events if e.severity != "info"]
    journal = (workspace.run_folder(run.id) / "journal.jsonl").stat().st_size
    if journal != run.journal_bytes:
        wrong.append(f"{run.id}: the registry holds {run.journal_bytes} of {journal} bytes")
    return rows, wrong


def crowd(home: Path, writers: int, batches: int, rate: float, people: list[str]) -> dict[str, Any]:
    """Let them all work at once, and compare; returns the figures."""
    workspace = open_workspace(home)
    registry = open_registry(workspace.registry_url())
    registry.close()
    for number in range(2):
        make_victim(home, f"base-{number}", _VICTIM_STEPS)  # so that there is something to compare
    started = time.perf_counter()
    recording = [_start(home, "record", str(n), str(batches), str(rate)) for n in range(writers)]
    looking = [_start(home, "look", kind) for kind in people]
    log, log_bytes = Path(f"{registry.database.path}-wal"), 0
    while any(process.poll() is None for process in recording):
        with contextlib.suppress(FileNotFoundError):
            log_bytes = max(log_bytes, log.stat().st_size)
        time.sleep(0.1)
    seconds = time.perf_counter() - started
    (home / "stop").touch()
    recorded = [_figures(process) for process in recording]
    looked = [_figures(process) for process in looking]
    rows, errors = 0, [error for one in looked for error in one["errors"]]
    errors += [problem for one in recorded for problem in one["problems"]]
    for writer in range(writers):
        compared, wrong = differences(registry, workspace, writer, batches)
        rows += compared
        errors += wrong
    assert registry.database.path is not None
    with contextlib.closing(sqlite3.connect(registry.database.path)) as connection:
        found = connection.execute("PRAGMA integrity_check").fetchall()
        errors += [] if found == [("ok",)] else [str(found)]
    return {
        "seconds": round(seconds, 1),
        "batches_per_second": round(writers * batches / seconds),
        "commits": sum(one["commits"] for one in recorded),
        "rows_compared": rows,
        "errors": errors,
        "wait_for_the_lock_s": _spread([wait for one in recorded for wait in one["waits"]]),
        "hold_of_the_lock_s": _spread([hold for one in recorded for hold in one["holds"]]),
        "longest_call_of_training_s": round(max(one["longest_call"] for one in recorded), 4),
        "log_megabytes": round(log_bytes / 1e6, 1),
        "people": {
            f"{kind} {number}": {**one, "longest": round(one["longest"], 3)}
            for number, (kind, one) in enumerate(zip(people, looked, strict=True))
        },
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    found = {"median": statistics.median(seconds), "longest": max(seconds)}
    return {name: round(value, 4) for name, value in found.items()}


def _start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, "--home", str(home), "--be", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )


def _figures(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"a process failed: {output}")
    return dict(json.loads(output.splitlines()[-1]))


def main() -> None:
    """Measure, print, and write the figures; fail where anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=100.0, help="batches a second of a writer")
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--be", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.be:
        role, *rest = given.be
        if role == "look":
            print(json.dumps(look(given.home, rest[0])))
        else:
            print(json.dumps(record(given.home, int(rest[0]), int(rest[1]), float(rest[2]))))
        return
    people = ["reader", "reader", "keeper", "cleaner"]
    with tempfile.TemporaryDirectory() as folder:
        found = crowd(Path(folder) / "home", given.writers, given.batches, given.rate, people)
    settings = {"writers": given.writers, "batches": given.batches, "rate": given.rate}
    print(json.dumps({**settings, **found}, indent=2))
    if found["errors"]:
        raise SystemExit(1)
    write("many_writers", {**settings, **found})


if __name__ == "__main__":
    main()
