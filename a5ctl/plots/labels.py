"""Which runs are seeds of one setting, and what a legend calls them: only what differs."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from a5ctl.tables.entries import settings_with_origin
from a5ctl.tables.origins import Origins
from a5ctl.tables.settings import Settings, short_name, value_text, varying_settings
from core.registry.records import RunRecord
from core.registry.store import Registry

_MOST_SETTINGS = 3
_BARE = ("kind", "model.from", "model.source")
"""Settings whose values speak for themselves."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Runs that are drawn as one line.

    Attributes:
        name: Id of a run, or of several `sft-256 x3 seeds`.
        label: The settings that tell it from the others.
    """

    name: str
    label: str
    runs: tuple[str, ...]


def drawn_together(
    registry: Registry, runs: Sequence[RunRecord], *, each: bool = False
) -> list[Drawn]:
    """Runs that differ in nothing but their seed become one; in the order given.

    Where two of them have the same seed, or none, they stay apart: they are repetitions.

    Args:
        registry: Where the runs are.
        runs: What is drawn.
        each: Every run by itself.
    """
    origins = Origins(registry, runs)
    settings = {run.uuid: settings_with_origin(run, origins) for run in runs}
    alike: dict[str, list[RunRecord]] = defaultdict(list)
    for run in runs:
        alike[settings[run.uuid].text].append(run)
    groups = [
        part
        for own in alike.values()
        for part in ([own] if not each and _are_seeds(own) else [[run] for run in own])
    ]
    labels = _labels([settings[group[0].uuid] for group in groups], groups)
    return [
        Drawn(_name(group), label, tuple(run.id for run in group))
        for group, label in zip(groups, labels, strict=True)
    ]


def _are_seeds(runs: Sequence[RunRecord]) -> bool:
    seeds = {run.seed for run in runs}
    return None not in seeds and len(seeds) == len(runs)


def _name(runs: Sequence[RunRecord]) -> str:
    if len(runs) == 1:
        return runs[0].id
    return f"{runs[0].id.rsplit('-', 1)[0]} x{len(runs)} seeds"


def _labels(settings: Sequence[Settings], groups: Sequence[Sequence[RunRecord]]) -> list[str]:
    keys = _keys(settings)
    labels = [", ".join(_words(key, one.get(key), keys) for key in keys) for one in settings]
    if len(groups) == 1:
        return [""]
    shared = _repeated(labels)
    labels = [
        _joined(label, f"seed {own[0].seed}") if label in shared and len(own) == 1 else label
        for label, own in zip(labels, groups, strict=True)
    ]
    shared = _repeated(labels)
    return [
        _joined(label, own[0].id) if label in shared or not label else label
        for label, own in zip(labels, groups, strict=True)
    ]


def _keys(settings: Sequence[Settings]) -> list[str]:
    """What differs; of several kinds of runs only what all have; nothing where it is too much."""
    keys = list(varying_settings(settings))
    if "kind" in keys:
        keys = [key for key in keys if all(key in one for one in settings)]
    return keys if len(keys) <= _MOST_SETTINGS else []


def _words(key: str, value: Any, keys: Iterable[str]) -> str:
    if key in _BARE and value is not None:
        return f"from {value}" if key == "model.from" else str(value)
    short = short_name(key, keys)
    return f"no {short}" if value is None else f"{short} {value_text(key, value)}"


def _joined(label: str, more: str) -> str:
    return f"{label}, {more}" if label else more


def _repeated(labels: Sequence[str]) -> set[str]:
    return {label for label, count in Counter(labels).items() if count > 1}
