"""Successive halving: at each rung, settings that a paired test says are hopeless are given up.

All cells come to the rung and wait there, so that what is given up follows from what was recorded,
and not from which cell was faster; after a kill the same rung gives the same decision.
"""

import re
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from a5ctl.format import gap
from a5ctl.plans.driver import Driver
from a5ctl.tables.entries import judged_by, protocol_differences
from a5ctl.tables.pairs import shares
from core.plans.cells import Cell, title
from core.plans.form import Halving
from core.plans.plan import Plan
from core.plans.runs import GIVEN_UP, CellRun, CellState, cell_runs
from core.registry.afterwards import add_to_journal
from core.registry.entries import EventEntry, StatusEntry
from core.registry.records import EvaluationRecord, RunRecord
from core.registry.store import Registry
from core.statistics import MIN_SEEDS, compare_across_seeds, compare_paired_shares, holm
from core.workspace import Workspace

_AT_STEP = re.compile(re.escape(GIVEN_UP) + r" at step (\d+)")
Shares = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Hopeless:
    """A setting that a rung gives up.

    Attributes:
        cells: All its seeds.
        leader: The setting that it was compared with.
        difference: Its share minus the leader's, at this rung.
        p: That it is not worse by more than the margin; Holm-corrected over the rung.
    """

    cells: tuple[Cell, ...]
    setting: str
    leader: str
    difference: float
    p: float


def carry_out_in_rungs(driver: Driver, plan: Plan, workspace: Workspace) -> None:
    """Carry all cells to each rung, give up what is hopeless there, and the rest to their ends.

    Raises:
        UserError: the executor cannot start a cell, or a decision cannot be recorded.
    """
    halving = plan.form.halving
    for step in () if halving is None else halving.at:
        driver.carry_out(lambda: _trained(plan), until=step)
        if driver.stopped or halving is None:
            return
        found = cell_runs(driver.registry, plan, _trained(plan))
        for hopeless in judge_rung(driver.registry, halving, found, step):
            _give_up(driver, workspace, found, hopeless, step)
    driver.carry_out(lambda: plan.cells)


def judge_rung(
    registry: Registry, halving: Halving, found: Mapping[str, CellRun], step: int
) -> list[Hopeless]:
    """The settings that a rung gives up; those that it has given up before are among them.

    The leader is the setting with the best mean; of equals the first of the plan. From three seeds
    on the test has seed and problem as random; with fewer, every seed's own test must say so.

    Args:
        registry: Where the evaluations are.
        halving: The rule.
        found: Cells with their runs.
        step: Of the rung.
    """
    settings = _at_rung(registry, halving, found, step)
    means = {name: _mean(tables) for name, (_, tables) in settings.items()}
    if len(means) < 2:
        return []
    sign = 1 if halving.direction.upwards else -1
    leader = max(means, key=lambda name: sign * means[name])
    others = [name for name in settings if name != leader]
    behind = {n: _behind(settings[leader][1], settings[n][1], sign, halving) for n in others}
    adjusted = dict(zip(others, holm([behind[name] for name in others]), strict=True))
    return [
        Hopeless(settings[n][0], n, leader, means[n] - means[leader], adjusted[n])
        for n in others
        if adjusted[n] < halving.alpha
    ]


def _trained(plan: Plan) -> list[Cell]:
    return [cell for cell in plan.cells if cell.config.kind.trains]


def _at_rung(
    registry: Registry, halving: Halving, found: Mapping[str, CellRun], step: int
) -> dict[str, tuple[tuple[Cell, ...], dict[int, Shares]]]:
    """Settings of which every seed was evaluated there and none was given up before."""
    settings: dict[str, list[CellRun]] = defaultdict(list)
    for each in found.values():
        labels = {key: value for key, value in each.cell.labels.items() if key != "seed"}
        settings[title(labels)].append(each)
    whole: dict[str, list[EvaluationRecord]] = {}
    for name, cells in settings.items():
        there = [_evaluation(registry, each, step) for each in cells if _alive(each, step)]
        if len(evaluated := [found for found in there if found is not None]) == len(cells):
            whole[name] = evaluated
    first = next((every[0] for every in whole.values()), None)
    made: dict[str, tuple[tuple[Cell, ...], dict[int, Shares]]] = {}
    for name, every in whole.items():
        judged = judged_by(registry, every, halving.grader)
        if any(protocol_differences(first or e, e).blocking for e in judged):
            continue  # it answered other questions
        tables = [shares(registry, e, halving.metric, halving.grader) for e in judged]
        own = tuple(each.cell for each in settings[name])
        made[name] = (own, {cell.config.seed: t for cell, t in zip(own, tables, strict=True)})
    return made


def _alive(each: CellRun, step: int) -> bool:
    """Not given up at an earlier rung."""
    if each.state is not CellState.GIVEN_UP or each.run is None:
        return each.run is not None
    told = _AT_STEP.match(each.run.exit_reason or "")
    return told is not None and int(told[1]) >= step


def _evaluation(registry: Registry, each: CellRun, step: int) -> EvaluationRecord | None:
    runs = [each.run.uuid] if each.run is not None else []
    return next((e for e in registry.evaluations(runs) if e.step == step), None)


def _mean(tables: Mapping[int, Shares]) -> float:
    return sum(sum(t.values()) / max(1, len(t)) for t in tables.values()) / len(tables)


def _behind(
    leader: Mapping[int, Shares], own: Mapping[int, Shares], sign: int, halving: Halving
) -> float:
    """p that a setting is not worse than the leader by more than the margin; 1 where it is not."""
    boundary = -sign * halving.margin / 100
    seeds = sorted(leader.keys() & own.keys())
    if len(seeds) >= MIN_SEEDS:
        across = compare_across_seeds(leader, own, boundary)
        return across.p if sign * (across.difference - boundary) < 0 else 1.0
    found = [compare_paired_shares(leader[seed], own[seed], boundary) for seed in seeds]
    return max(
        (one.p if sign * (one.difference - boundary) < 0 else 1.0 for one in found), default=1.0
    )


def _give_up(
    driver: Driver,
    workspace: Workspace,
    found: Mapping[str, CellRun],
    hopeless: Hopeless,
    step: int,
) -> None:
    behind = f"{gap(hopeless.difference)} behind {hopeless.leader!r}"
    why = f"{GIVEN_UP} at step {step}: {behind}, p {hopeless.p:.2g} (Holm)"
    data = {"leader": hopeless.leader, "difference": hopeless.difference, "p": hopeless.p}
    stopped = []
    for cell in hopeless.cells:
        each = found[cell.id]
        if each.run is not None and not each.state.done:
            _record(driver.registry, workspace, each.run, step, why, data)
            stopped.append(cell.id)
    if stopped:
        driver.watcher.note(f"{hopeless.setting} ({', '.join(stopped)}): {why}")


def _record(
    registry: Registry,
    workspace: Workspace,
    run: RunRecord,
    step: int,
    why: str,
    data: dict[str, Any],
) -> None:
    now = time.time()
    event = EventEntry(
        uuid=uuid.uuid4().hex,
        time=now,
        step=step,
        severity="info",
        kind="given_up",
        message=why,
        data=data,
    )
    end = StatusEntry(status="interrupted", time=now, exit_reason=why)
    folder = workspace.run_folder(run.id)
    add_to_journal(registry, run, folder, [event, end])
    if not folder.is_dir():  # it was made on another machine
        registry.set_status(run.uuid, "interrupted", exit_reason=why)
