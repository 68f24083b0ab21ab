"""What runs started from, told without seeds, so that runs of several seeds make one setting."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from a5ctl.tables.settings import ONE_RUN, Settings, run_settings, settings_without_run
from core.registry.records import RunRecord
from core.registry.store import Registry

_STEP = "model.run_step"
FROM = "model.from"
_LAST, _BEST = "last", "best"


class Origins:
    """The runs behind runs, each described by its settings and those of its own origin.

    Two runs have the same origin if what they started from differs in nothing but seeds: the
    fine-tunings of seeds 0, 1 and 2 are one starting point for three runs of Expert Iteration.
    """

    def __init__(self, registry: Registry, runs: Iterable[RunRecord]):
        """Origins of some runs of a registry; what they descend from is read at once.

        Args:
            registry: Where the runs are.
            runs: Those that will be asked for.
        """
        self._settings: dict[str, Settings] = {}
        self._known: dict[str, str] = {}
        self._alike: dict[tuple[int, str], tuple[Settings, Settings]] = {}
        self._runs = with_ancestors(registry, runs)
        parents = {run.parent_uuid for run in self._runs.values()}
        self._ends = registry.last_steps([uuid for uuid in parents if uuid is not None])

    def settings(self, run: RunRecord) -> Settings:
        """What decides the figures of a run, told without its origin; read once."""
        if run.uuid not in self._settings:
            self._settings[run.uuid] = run_settings(run)
        return self._settings[run.uuid]

    def settings_from(self, run: RunRecord) -> Settings:
        """The same with its origin as a setting, `FROM`; one object for runs that are alike."""
        origin = self.of(run)
        if origin is None:
            return self.settings(run)
        kept = settings_without_run(run)
        key = (id(kept), origin)
        if key not in self._alike:
            self._alike[key] = (kept, Settings({**kept, FROM: origin}))
        return self._alike[key][1]

    def of(self, run: RunRecord) -> str | None:
        """The starting point in a few words, the same for runs that share it; None for a model.

        It ends in four digits of a hash, because two settings can have the same kind and size. A
        run that the registry no longer has is called by its id.
        """
        if run.parent_uuid is None:
            return None
        if run.parent_uuid not in self._known:
            self._known[run.parent_uuid] = self._described(run)
        place = self._place(run)
        return self._known[run.parent_uuid] + ("" if place == _LAST else f", {place}")

    def _described(self, run: RunRecord) -> str:
        parent = self._runs.get(str(run.parent_uuid))
        if parent is None:
            return str(_model(run).get("run") or run.parent_uuid)
        learned = {k: v for k, v in self.settings(parent).items() if _shapes_weights(k)}
        behind = repr((sorted(learned.items()), self.of(parent)))
        digest = hashlib.sha256(behind.encode()).hexdigest()[:4]
        return f"{parent.kind} {learned.get('data.size', '')} {digest}"

    def _place(self, run: RunRecord) -> str:
        """Which checkpoint was taken: ends lie at other steps where data decide their number."""
        if '"run_choice"' in run.config_json and _model(run).get("run_choice") == _BEST:
            return _BEST  # most runs are told apart without parsing
        step = self.settings(run).get(_STEP)
        return _LAST if step in (None, self._ends.get(str(run.parent_uuid))) else f"step {step}"


def with_ancestors(registry: Registry, runs: Iterable[RunRecord]) -> dict[str, RunRecord]:
    """The runs and all they descend from, by uuid: one query for every generation."""
    known = {run.uuid: run for run in runs}
    generation, asked = list(known.values()), set(known)
    while generation:
        wanted = {run.parent_uuid for run in generation if run.parent_uuid is not None} - asked
        asked |= wanted
        generation = registry.runs_by_uuid(sorted(wanted))
        known |= {run.uuid: run for run in generation}
    return known


def _model(run: RunRecord) -> Mapping[str, Any]:
    found: Mapping[str, Any] = run.config.get("model", {})
    return found


def _shapes_weights(key: str) -> bool:
    """What a run started from is told by its own origin, and evaluations change no weights."""
    return key not in ONE_RUN and not key.startswith("evaluation.")
