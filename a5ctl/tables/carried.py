"""What runs took over from the runs they began with: steps, tokens and time before their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from a5ctl.tables.origins import with_ancestors
from core.registry.records import RunRecord
from core.registry.store import Registry

_TOKENS = "tokens_total"


@dataclass(frozen=True, slots=True)
class Stage:
    """A run, and up to which of its steps it counts."""

    run: RunRecord
    step: int


@dataclass(frozen=True, slots=True)
class Carried:
    """What lies before a run.

    Attributes:
        stages: The runs it descends from with the steps it took, the oldest first.
        tokens: Training tokens that they took.
        seconds: Time that they took, from the start of each to its step.
        gone: Id of a run that the registry no longer has, whose part is not counted.
    """

    stages: tuple[Stage, ...] = ()
    tokens: float = 0.0
    seconds: float = 0.0
    gone: str = ""

    @property
    def steps(self) -> int:
        """Optimizer updates before the run's own."""
        return sum(stage.step for stage in self.stages)


def carried_over(registry: Registry, runs: Sequence[RunRecord]) -> dict[str, Carried]:
    """What every run took over, by uuid; nothing for those that began with a model."""
    known = with_ancestors(registry, runs)
    ends = registry.last_steps(list(known))
    lines = {run.uuid: _stages(run, known, ends) for run in runs}
    moments = [(s.run.uuid, s.step) for stages, _ in lines.values() for s in stages]
    spent = registry.values_at(moments, _TOKENS)
    found = {}
    for uuid, (stages, gone) in lines.items():
        points = [(stage, spent.get((stage.run.uuid, stage.step))) for stage in stages]
        tokens = sum(point.value for _, point in points if point is not None)
        seconds = sum(
            point.time - stage.run.started
            for stage, point in points
            if point is not None and stage.run.started is not None
        )
        found[uuid] = Carried(stages, tokens, max(0.0, seconds), gone)
    return found


def _stages(
    run: RunRecord, known: Mapping[str, RunRecord], ends: Mapping[str, int]
) -> tuple[tuple[Stage, ...], str]:
    stages: list[Stage] = []
    seen = {run.uuid}
    while run.parent_uuid is not None and run.parent_uuid not in seen:
        model = run.config.get("model", {})
        parent = known.get(run.parent_uuid)
        if parent is None:
            return tuple(reversed(stages)), str(model.get("run") or run.parent_uuid)
        step = model.get("run_step")
        stages.append(Stage(parent, ends.get(parent.uuid, 0) if step is None else int(step)))
        seen.add(parent.uuid)
        run = parent
    return tuple(reversed(stages)), ""
