"""Stored results of benchmarks, and how a page shows their numbers."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
Results = Mapping[str, Any]


def results() -> Results:
    """Every file of results by name; dry runs are none."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((BENCHMARKS / "results").glob("*.json"))
        if not path.stem.endswith("_dry_run")
    }


def number(value: float) -> str:
    """A figure in three digits or so."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def asked(file: str) -> tuple[str, str]:
    """Question and command of a script, as benchmarks/README.md has them.

    Args:
        file: The script, without `.py`.

    Raises:
        SystemExit: it has none.
    """
    text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    line = re.search(rf"^\| `{file}\.py` \| (.*?) \| `(.*?)`", text, re.MULTILINE)
    if line is None:
        raise SystemExit(f"benchmarks/README.md has no line for {file}.py")
    return line[1], line[2]


def times_of_default(one: Mapping[str, Any]) -> float | None:
    """How many times TRL's default a side of `sft_speed` reached; None where nobody measured."""
    ratios = one["ratios"]
    found = ratios.get("default", ratios["best"] if one["best"] == "default" else None)
    return None if found is None else float(found["wall"])
