"""Processes that record into one server at once, with everything that they share."""

import multiprocessing
import random
from pathlib import Path

from core.registry.recorder import Recorder
from core.registry.store import open_registry
from tests.core.registry.conftest import answer, evaluation_result, new_run

NAMES = [f"metric/{number}" for number in range(20)]


def record(url: str, folder: Path, number: int, steps: int) -> None:
    """One run; names and problems come in an order of its own, so that orders cross."""
    order = random.Random(number)
    registry = open_registry(url)
    run = registry.create_run(new_run(id=f"run-{number}"))
    with Recorder(registry, run.uuid, folder / run.id, interval=0.002) as recorder:
        for step in range(1, steps + 1):
            names = [*order.sample(NAMES, len(NAMES)), f"{step % 7}/{order.randrange(50)}"]
            recorder.metrics(step, {name: float(step * number) for name in names})
            if step % 10 == 0:
                recorder.event("info", "tick", f"step {step}")
                texts = [answer(order.randrange(9)) for _ in range(5)]
                data_hash = f"data-{step % 3}"
                recorder.evaluation(evaluation_result(texts, step=step, data_hash=data_hash))
    registry.close()


def record_together(url: str, folder: Path, processes: int, steps: int) -> list[int | None]:
    """Start them, wait for them, and give their exit codes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "core.registry.merge", "core.registry.server_text"])
    started = [
        context.Process(target=record, args=(url, folder, number, steps))
        for number in range(1, processes + 1)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(600)
    return [process.exitcode for process in started]
