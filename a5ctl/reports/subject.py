"""What a report is about: runs, a group, or a plan."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from a5ctl.tables.criteria import check_plan
from a5ctl.tables.verdicts import PlanReport
from core.criteria.plan import LoadedPlan, load_plan, parse_plan
from core.errors import UserError
from core.registry.records import RunRecord
from core.registry.store import Registry
from core.workspace import Workspace

_PLAN_SUFFIX = ".toml"


@dataclass(frozen=True, slots=True)
class Subject:
    """The runs that a report is about.

    Attributes:
        kind: `run`, `runs`, `group` or `plan`.
        name: What people call it.
        runs: Oldest first.
        note: What the plan says about itself.
        judged: The plan's verdicts; None where there is no plan.
        text: The plan's file.
    """

    kind: str
    name: str
    runs: tuple[RunRecord, ...]
    note: str = ""
    judged: PlanReport | None = None
    text: str = ""


def find_subject(registry: Registry, workspace: Workspace, names: Sequence[str]) -> Subject:
    """The runs that these names mean.

    A name is, in this order: a plan's file (it ends in .toml), the id of a run, a plan that the
    registry knows, a group, and whatever else `a5ctl show` takes for a run.

    Raises:
        UserError: a name means nothing here, or a plan is not the only one.
    """
    if len(names) == 1 and (loaded := _plan(registry, names[0])) is not None:
        return _of_plan(registry, workspace, loaded)
    if plans := [name for name in names if _plan(registry, name) is not None]:
        raise UserError(f"{plans[0]} is a plan, which has a report of its own; name nothing else")
    parts = [_runs(registry, name) for name in names]
    found = {run.uuid: run for _, runs in parts for run in runs}
    runs = tuple(sorted(found.values(), key=lambda run: (run.created, run.key)))
    if len(parts) == 1:
        return Subject(parts[0][0], names[0] if parts[0][0] == "group" else runs[0].id, runs)
    return Subject("runs", ", ".join(names), runs)


def _plan(registry: Registry, name: str) -> LoadedPlan | None:
    if name.endswith(_PLAN_SUFFIX):
        return load_plan(Path(name))
    if _exact(registry, name) is not None:
        return None
    if versions := registry.plan_versions(name):
        return parse_plan(versions[-1].text, f"the plan {name}, as the registry has it,")
    return None


def _exact(registry: Registry, name: str) -> RunRecord | None:
    try:
        run = registry.find_run(name)
    except UserError:
        return None
    return run if name in (run.id, run.uuid) else None


def _group(registry: Registry, name: str) -> list[RunRecord]:
    return registry.runs(group=name) if name else []


def _of_plan(registry: Registry, workspace: Workspace, loaded: LoadedPlan) -> Subject:
    plan = loaded.plan
    versions = registry.note_plan(plan.name, loaded.hash, loaded.text, workspace)
    judged = check_plan(registry, loaded, versions)
    runs = [registry.find_run(run) for run in judged.timing.judged]
    if not runs:
        raise UserError(
            f"no run of this registry belongs to a set of the plan {plan.name}; start them, then "
            "report"
        )
    ordered = sorted(runs, key=lambda run: (run.created, run.key))
    return Subject("plan", plan.name, tuple(ordered), plan.note, judged, loaded.text)


def _runs(registry: Registry, name: str) -> tuple[str, list[RunRecord]]:
    if (exact := _exact(registry, name)) is not None:
        return "run", [exact]
    if found := _group(registry, name):
        return "group", found
    try:
        return "run", [registry.find_run(name)]
    except UserError as error:
        groups = sorted({run.group for run in registry.runs() if run.group})
        near = difflib.get_close_matches(name, groups, n=1, cutoff=0.6)
        if near:
            raise UserError(f"{error}; there is a group {near[0]}") from error
        raise
