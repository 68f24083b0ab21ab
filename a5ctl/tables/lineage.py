"""Where a run comes from and what came of it: its ancestors, itself, and its descendants."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from a5ctl.tables.runs import RunLine, run_lines
from core.registry.records import RunRecord
from core.registry.store import Registry


@dataclass(frozen=True, slots=True)
class Lineage:
    """The line that a run belongs to.

    Attributes:
        run: The run in the middle.
        base: Model at the root.
        gone: Id of the run behind the oldest known ancestor, where the registry no longer has it.
        ancestors: From the oldest to the parent.
        children: Runs by the uuid of their parent, oldest first, from `run` downwards.
        lines: What is known of each run, by uuid.
    """

    run: RunRecord
    base: str
    gone: str | None
    ancestors: tuple[RunRecord, ...]
    children: Mapping[str, Sequence[RunRecord]]
    lines: Mapping[str, RunLine]

    @property
    def alone(self) -> bool:
        """The run started from a model, and nothing started from it."""
        return not (self.ancestors or self.children or self.gone)


def run_lineage(registry: Registry, run: RunRecord) -> Lineage:
    """Read the line of a run; what was deleted is named as far as its children know it."""
    ancestors = registry.ancestors(run)[::-1]
    children: dict[str, list[RunRecord]] = defaultdict(list)
    for child in registry.descendants(run.uuid):
        if child.parent_uuid is not None:
            children[child.parent_uuid].append(child)
    every = [*ancestors, run, *(child for own in children.values() for child in own)]
    oldest = every[0]
    return Lineage(
        run=run,
        base=run.model,
        gone=parent_id(oldest) if oldest.parent_uuid is not None else None,
        ancestors=tuple(ancestors),
        children=dict(children),
        lines={line.run.uuid: line for line in run_lines(registry, every)},
    )


def parent_id(run: RunRecord) -> str:
    """Short id of a run's parent as the run's own configuration has it, else its uuid."""
    return str(run.config.get("model", {}).get("run") or run.parent_uuid)


def started_from(run: RunRecord) -> str:
    """Which checkpoint of its parent a run started from; empty where that is not known."""
    model = run.config.get("model", {})
    step = model.get("run_step")
    if run.parent_uuid is None or step is None:
        return ""
    return f"step {step}" + (" (best)" if model.get("run_choice") == "best" else "")


def lineage_json(lineage: Lineage) -> dict[str, Any]:
    """The line for programs; descendants are flat, each with the uuid of its parent."""
    below = [run for own in lineage.children.values() for run in own]
    below.sort(key=lambda run: (run.created, run.key))
    return {
        "base": lineage.base,
        "gone": lineage.gone,
        "ancestors": [_member(lineage.lines[run.uuid]) for run in lineage.ancestors],
        "descendants": [_member(lineage.lines[run.uuid]) for run in below],
    }


def _member(line: RunLine) -> dict[str, Any]:
    run, model = line.run, line.run.config.get("model", {})
    return {
        "id": run.id,
        "uuid": run.uuid,
        "parent": run.parent_uuid,
        "kind": run.kind,
        "status": line.status,
        "started_from_step": model.get("run_step"),
        "chosen": model.get("run_choice"),
        "selected_on_test": run.selected_on_test,
        "step": line.step,
        "accuracy": line.headline.accuracy if line.headline else None,
    }
