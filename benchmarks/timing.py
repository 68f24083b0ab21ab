"""What the benchmarks share: fresh processes in alternating rounds, medians, and the JSON file."""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def python(arguments: list[str], **environment: str) -> str:
    """What a fresh Python with the project on its path prints.

    Raises:
        subprocess.CalledProcessError: it failed; its messages are on standard error.
    """
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=True,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
    ).stdout


def rounds(measures: Mapping[str, Callable[[], float]], repeat: int) -> dict[str, dict[str, float]]:
    """Median and minimum of every measure, taken in turn (A B C, A B C, ...).

    Args:
        measures: What each does once, returning its seconds.
        repeat: Rounds that count; one more comes before them, to warm up the disk.
    """
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(repeat + 1):
        for name, measure in measures.items():
            taken[name].append(measure())
    return {name: summary(values[1:]) for name, values in taken.items()}


def summary(values: list[float]) -> dict[str, float]:
    """Median and minimum."""
    return {"median": statistics.median(values), "min": min(values)}


def write(name: str, result: Mapping[str, Any]) -> None:
    """Write figures and the kind of machine they come from to `benchmarks/results/<name>.json`."""
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    path.write_text(json.dumps({**result, "machine": machine}, indent=2) + "\n", encoding="utf-8")
