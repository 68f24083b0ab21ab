"""Runs made by hand as plain rows: what a filter should see, without any recorder."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.registry.codec import split_value
from core.registry.schema import Evaluation, MetricName, MetricSummary, Run, StoredProtocol, table
from core.registry.store import Registry, open_registry

HOSTILE = "'; DROP TABLE run; -- \" %_\\ ?:x {0} %s"
CREATED = 1_700_000_000.0


@dataclass(frozen=True)
class Row:
    """One run; what is not given it does not have.

    Attributes:
        metrics: Last values; the smallest is the same where it is finite.
        accuracy: Of its only evaluation, of 10 responses.
    """

    id: str
    kind: str = "sft"
    name: str | None = None
    size: int | None = None
    seed: int | None = 0
    note: str = ""
    tags: Sequence[str] = ()
    archived: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    accuracy: float | None = None
    split: str = "test"


ROWS = (
    Row("a", name="plain", size=128, tags=("good",), config={"train": {"lr": 1e-4}}, accuracy=0.3),
    Row("b", name=HOSTILE, size=256, tags=("good", HOSTILE), config={"train": {"lr": "auto"}}),
    Row("c", "eval", note="100% sure", config={"train": {"lr": 3}}, accuracy=0.0),
    Row("d", "grpo", "PLAIN", 512, 7, tags=("Good",), metrics={"loss": math.nan}, accuracy=0.31),
    Row("e", size=512, config={"train": {"lr": None}}, metrics={"loss": math.inf, "kl": 0.5}),
    Row(
        "f", "grpo", "", None, None, "it's", metrics={"loss": -math.inf}, split="dev", accuracy=1.0
    ),
    Row("g", name="größe_1", size=256, config={"train": {"lr": True}}, metrics={"loss": 0.25}),
    Row("h", "eval", "a\nb", 1024, 2**63 - 1, archived=True, metrics={"loss": -0.25, "kl": 0}),
    Row("i", name="128", size=1, config={"train": {"lr": [1, "x"]}}, accuracy=0.3),
)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.fixture(scope="session")
def handmade(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A registry with `ROWS`, the first one newest; tests must not change it."""
    return registry_of(tmp_path_factory.mktemp("query"), ROWS)


def registry_of(folder: Path, rows: Sequence[Row]) -> Registry:
    registry = open_registry(f"sqlite:///{folder / 'registry.db'}")
    fill(registry, rows)
    return registry


def fill(registry: Registry, rows: Sequence[Row]) -> None:
    """Put runs into an empty registry."""
    names = sorted({name for row in rows for name in row.metrics})
    keys = {name: number for number, name in enumerate(names, start=1)}
    with registry.database.begin() as connection:
        protocol = {"key": 1, "hash": "h", "generation": "g", "grading": "r", "fields": "{}"}
        connection.execute(table(StoredProtocol).insert(), protocol)
        for name, key in keys.items():
            connection.execute(table(MetricName).insert(), {"key": key, "name": name})
        for key, row in enumerate(rows, start=1):
            connection.execute(table(Run).insert(), _run(key, row))
            for name, value in row.metrics.items():
                connection.execute(table(MetricSummary).insert(), _summary(key, keys[name], value))
            if row.accuracy is not None:
                connection.execute(table(Evaluation).insert(), _evaluation(key, row))


def _run(key: int, row: Row) -> dict[str, Any]:
    copied = ("id", "kind", "name", "size", "seed", "note", "archived")
    return {
        **{name: getattr(row, name) for name in copied},
        "key": key,
        "uuid": f"uuid-{row.id}",
        "status": "finished",
        "config_hash": "c0",
        "model": "builtin",
        "data": "toy",
        "created": CREATED - key,
        "folder": f"runs/{row.id}",
        "journal_bytes": 0,
        "tags": json.dumps(list(row.tags)),
        "config": json.dumps(row.config),
        "provenance": "{}",
    }


def _summary(run: int, name: int, value: float) -> dict[str, Any]:
    last, nonfinite = split_value(value)
    return {
        "run": run,
        "name": name,
        "last": last,
        "last_nonfinite": nonfinite,
        "last_step": 10 * run,
        "lowest": last,
        "lowest_step": None if last is None else 1,
        "highest": last,
        "highest_step": None if last is None else 1,
    }


def _evaluation(run: int, row: Row) -> dict[str, Any]:
    counts = dict.fromkeys(("type1", "type2", "type3", "unclosed", "unparseable", "truncated"), 0)
    return {
        **counts,
        "uuid": f"evaluation-{run}",
        "run": run,
        "segment": 0,
        "step": run,
        "split": row.split,
        "protocol": 1,
        "time": CREATED,
        "n": 10,
        "numeric": 10,
        "accuracy": row.accuracy,
        "interval_low": 0.0,
        "interval_high": 1.0,
        "seconds": 1.0,
        "generated_tokens": 5,
        "accuracies": json.dumps({"r1_zero": row.accuracy, "lenient": 0.5}),
        "lengths": json.dumps({"response": {"mean": 12.5}}),
    }
