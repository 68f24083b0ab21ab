"""What runs of the registry say about runs to come: how long they take, and how much memory."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from core.config.load import to_tree
from core.config.schema import RunConfig
from core.plans.cells import without_machine
from core.plans.length import expected_updates
from core.registry.processes import host_name
from core.registry.records import RunRecord, RunStatus
from core.registry.store import Registry
from core.tree_hash import tree_hash

_ALIKE_RUNS = 50
# settings that decide what an update costs
_COST = ("train.batch_size", "model.device", "train.precision", "train.gpus", "grpo.rollout_batch")


@dataclass(frozen=True, slots=True)
class Past:
    """A finished run as far as it foretells others.

    Attributes:
        work: Updates it made.
        training: Seconds that were not evaluation.
        per_response: Seconds of evaluation per response.
        peak: Bytes at the peak of training; None where it was not measured.
    """

    run: RunRecord
    work: int
    training: float
    per_response: float | None
    peak: int | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a cell will take.

    Attributes:
        updates: Optimizer updates; None where only the data can tell.
        seconds: Of the whole run; None where no finished run is like it.
        peak: Bytes of training that runs like it took; None where none was measured.
        runs: How many finished runs that rests on.
    """

    updates: int | None
    seconds: float | None
    peak: int | None
    runs: int


def same_numbers_key(tree: Mapping[str, Any]) -> str:
    """A key that resolved configurations share if they differ in labels and machine at most."""
    return tree_hash(without_machine(tree), 64)


def runs_by_key(runs: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """Finished runs by that key."""
    found: dict[str, list[RunRecord]] = {}
    for run in runs:
        if run.status is RunStatus.FINISHED:
            found.setdefault(same_numbers_key(run.config), []).append(run)
    return found


class History:
    """The finished runs of a registry; what is alike is read once."""

    def __init__(self, registry: Registry) -> None:
        self.runs = registry.runs()
        self._registry = registry
        self._pasts: dict[str, list[Past]] = {}

    def forecast(self, config: RunConfig, model: str, size: int, asked: int) -> Forecast:
        """What a run will take, from runs of the same kind, model and costs of an update.

        Args:
            config: Resolved.
            model: Source of the model at the root of the lineage.
            size: Examples to learn from.
            asked: Responses of one evaluation.
        """
        tree = to_tree(config)
        updates = expected_updates(tree, size)
        pasts = self._alike(tree, model)
        seconds = None if updates is None else _seconds(pasts, tree, updates, asked)
        peaks = [past.peak for past in pasts if past.peak is not None]
        return Forecast(updates, seconds, max(peaks, default=None), len(pasts))

    def _alike(self, tree: Mapping[str, Any], model: str) -> list[Past]:
        key = json.dumps([tree["kind"], model, [_at(tree, name) for name in _COST]])
        if key not in self._pasts:
            here = [run for run in self._finished(tree, model) if run.host == host_name()]
            self._pasts[key] = _pasts(self._registry, here[:_ALIKE_RUNS])
        return self._pasts[key]

    def _finished(self, tree: Mapping[str, Any], model: str) -> list[RunRecord]:
        return [
            run
            for run in self.runs
            if run.status is RunStatus.FINISHED
            and (run.kind, run.model) == (tree["kind"], model)
            and all(_at(run.config, name) == _at(tree, name) for name in _COST)
        ]


def _pasts(registry: Registry, runs: Sequence[RunRecord]) -> list[Past]:
    uuids = [run.uuid for run in runs]
    steps = registry.last_steps(uuids)
    spent: dict[str, tuple[float, int]] = {}
    for found in registry.evaluations(uuids):
        seconds, responses = spent.get(found.run_uuid, (0.0, 0))
        spent[found.run_uuid] = (seconds + found.seconds, responses + found.n)
    pasts = []
    for run in runs:
        if run.started is None or run.ended is None or len(registry.segments(run.uuid)):
            continue  # of a run that went on after a stop nobody knows how long it worked
        seconds, responses = spent.get(run.uuid, (0.0, 0))
        training = max(0.0, run.ended - run.started - seconds)
        each = seconds / responses if responses else None
        pasts.append(Past(run, steps.get(run.uuid, 0), training, each, _peak(registry, run)))
    return pasts


def _peak(registry: Registry, run: RunRecord) -> int | None:
    told = [event.data for event in registry.events(run.uuid) if event.kind == "memory"]
    peaks = [data["peak_bytes"] for data in told if isinstance(data, dict) and "peak_bytes" in data]
    return max(peaks, default=None)


def _seconds(
    pasts: Sequence[Past], tree: Mapping[str, Any], updates: int, asked: int
) -> float | None:
    per_response = [past.per_response for past in pasts if past.per_response is not None]
    if not pasts or not per_response:
        return None
    fixed, each = _line([(past.work, past.training) for past in pasts])
    evaluation = tree.get("evaluation", {})
    every = evaluation.get("every")
    times = 1 + bool(evaluation.get("at_start", True) and updates)
    times += (updates - 1) // every if every and updates else 0
    return fixed + each * updates + times * asked * median(per_response)


def _line(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Least squares for what a run takes before its first update, and what each one takes."""
    n = len(points)
    mean_x = sum(x for x, _ in points) / n
    mean_y = sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread:
        slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
        if 0 <= slope * mean_x <= mean_y:
            return mean_y - slope * mean_x, slope
    if not mean_x:
        return mean_y, 0.0
    return 0.0, mean_y / mean_x


def _at(tree: Mapping[str, Any], name: str) -> Any:
    section, _, leaf = name.partition(".")
    return tree.get(section, {}).get(leaf)
