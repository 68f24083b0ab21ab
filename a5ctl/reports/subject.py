"""What a report is about: runs, a group, or a plan."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from a5ctl.reports.planned import AnyPlan, judge, known_plan, note_of, plan_members, read_plan
from a5ctl.tables.verdicts import PlanReport
from core.errors import UserError
from core.plans.plan import Plan
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
        judged: The plan's verdicts; None where there are no criteria.
        text: The plan's file.
        experiments: The plan with its cells; None where it only judges, or where there is none.
    """

    kind: str
    name: str
    runs: tuple[RunRecord, ...]
    note: str = ""
    judged: PlanReport | None = None
    text: str = ""
    experiments: Plan | None = None


def find_subject(registry: Registry, workspace: Workspace, names: Sequence[str]) -> Subject:
    """The runs that these names mean.

    A name is, in this order: a plan's file (it ends in .toml), the id of a run, a plan that the
    registry knows, a group, and whatever else `a5ctl show` takes for a run.

    Raises:
        UserError: a name means nothing here, or a plan is not the only one.
    """
    plans = {name: plan for name in names if (plan := _plan(registry, name)) is not None}
    if plans and len(names) > 1:
        first = next(iter(plans))
        raise UserError(f"{first} is a plan, which has a report of its own; name nothing else")
    if plans:
        return _of_plan(registry, workspace, plans[names[0]])
    parts = [_runs(registry, name) for name in names]
    found = {run.uuid: run for _, runs in parts for run in runs}
    runs = _oldest_first(list(found.values()))
    if len(parts) == 1:
        return Subject(parts[0][0], names[0] if parts[0][0] == "group" else runs[0].id, runs)
    return Subject("runs", ", ".join(names), runs)


def _plan(registry: Registry, name: str) -> AnyPlan | None:
    if name.endswith(_PLAN_SUFFIX):
        return read_plan(Path(name))
    return None if _exact(registry, name) is not None else known_plan(registry, name)


def _of_plan(registry: Registry, workspace: Workspace, plan: AnyPlan) -> Subject:
    judged = judge(registry, workspace, plan)
    runs = plan_members(registry, plan, judged)
    if not runs:
        raise UserError(
            f"the plan {plan.name} has no runs in this registry yet; start them, then report"
        )
    experiments = plan if isinstance(plan, Plan) else None
    return Subject(
        *("plan", plan.name, _oldest_first(runs), note_of(plan), judged, plan.text, experiments)
    )


def _oldest_first(runs: Sequence[RunRecord]) -> tuple[RunRecord, ...]:
    return tuple(sorted(runs, key=lambda run: (run.created, run.key)))


def _exact(registry: Registry, name: str) -> RunRecord | None:
    try:
        run = registry.find_run(name)
    except UserError:
        return None
    return run if name in (run.id, run.uuid) else None


def _group(registry: Registry, name: str) -> list[RunRecord]:
    return registry.runs(group=name) if name else []


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
