"""How a plan is carried out, with an executor that records cells instead of training them."""

import functools
import io
import math
import random
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from rich.console import Console

from a5ctl.plans import watching
from a5ctl.plans.driver import Driver, Manner, end_code
from a5ctl.plans.executor import Ended
from a5ctl.plans.halving import carry_out_in_rungs
from a5ctl.plans.searching import carry_out_search
from a5ctl.plans.tpe import asker
from core.config.load import config_hash, to_tree
from core.errors import UserError
from core.evaluation import EvaluationResult
from core.plans.cells import Cell, cell_at
from core.plans.load import load_plan
from core.plans.plan import Plan
from core.plans.runs import CellRun, CellState, cell_runs
from core.plans.search import known_cells, trials
from core.registry.recorder import Recorder
from core.registry.records import NewRun
from core.registry.store import Registry, open_registry
from core.workspace import Workspace
from tests.a5ctl.handmade import evaluation, right, wrong

PROBLEMS = 60
PLAN = """
name = "p"
seeds = [0, 1]
[base]
kind = "sft"
train.steps = 30
[axes]
"train.lr" = [1e-3, 1e-4, 1e-5]
"""
HALVING = PLAN.replace("[base]", "[base]\nevaluation.every = 10") + "[halving]\nat = [10, 20]\n"
SEARCH = """
name = "p"
[base]
kind = "sft"
train.steps = 30
[search]
trials = 6
startup = 3
parallel = 2
[search.space]
"train.lr" = { low = 1e-5, high = 1e-1, log = true }
"""


@dataclass
class Recording:
    """Carries a cell out by recording what an accuracy by cell and step says.

    Attributes:
        accuracy: Share right of a cell at a step.
        codes: Exit codes of the next attempts at a cell, before it gets through.
        order: Draws which attempt ends first.
    """

    registry: Registry
    workspace: Workspace
    accuracy: Callable[[Cell, int], float]
    places: int = 2
    codes: dict[str, list[int]] = field(default_factory=dict)
    order: random.Random = field(default_factory=lambda: random.Random(0))
    submitted: list[tuple[str, int | None]] = field(default_factory=list)
    waiting: dict[str, tuple[Cell, int | None]] = field(default_factory=dict)
    told: list[int] = field(default_factory=list)

    @property
    def room(self) -> int:
        return self.places - len(self.waiting)

    def adopt(self) -> dict[str, Cell]:
        return {}

    def detach(self) -> bool:
        return False

    def submit(self, cell: Cell, until: int | None = None) -> None:
        assert cell.id not in self.waiting
        self.submitted.append((cell.id, until))
        self.waiting[cell.id] = (cell, until)

    def poll(self, seconds: float) -> list[Ended]:
        if not self.waiting:
            return []
        cell, until = self.waiting.pop(self.order.choice(sorted(self.waiting)))
        code = self.codes.get(cell.id, [0]).pop(0) if self.codes.get(cell.id) else 0
        self.record(cell, until, code)
        return [Ended(cell.id, code, f"code {code}")]

    def stop(self, signum: int) -> None:
        self.told.append(signum)

    def note_busy(self, cell_ids: set[str]) -> None:
        assert not cell_ids

    def close(self) -> None: ...

    def record(self, cell: Cell, until: int | None, code: int) -> None:
        found = next((r for r in self.registry.runs() if cell.tag in r.tags), None)
        run = found or self.registry.create_run(self.new(cell))
        last = cell.config.train.steps or 30
        done = {e.step for e in self.registry.evaluations([run.uuid])}
        with Recorder(self.registry, run.uuid, self.workspace.run_folder(run.id)) as recorder:
            for step in range(10, (until or last) + 1, 10):
                looked = step == last or cell.config.evaluation.every == 10
                if looked and step not in done and not code:
                    recorder.metrics(step, {"loss": 1.0})
                    recorder.evaluation(replace(answered(self.accuracy(cell, step)), step=step))
            ended = until is None or until == last
            recorder.finish("failed" if code > 0 else "finished" if ended else "interrupted", "x")
        if code < 0:
            self.registry.set_status(run.uuid, "interrupted", "killed")

    def new(self, cell: Cell) -> NewRun:
        config = cell.config
        start = next((r for r in self.registry.runs() if f"cell:{cell.start}" in r.tags), None)
        return NewRun(
            kind=config.kind.value,
            config=to_tree(config),
            config_hash=config_hash(config),
            model="builtin",
            data="handmade",
            name=config.name,
            group=config.group,
            seed=config.seed,
            tags=config.tags,
            parent_uuid=start.uuid if start else None,
        )


@functools.cache
def answered(share: float) -> EvaluationResult:
    """The same problems are hard for everybody."""
    rng = random.Random(0)
    hard = [rng.random() for _ in range(PROBLEMS)]
    return evaluation([right(10 + i) if h < share else wrong(10 + i) for i, h in enumerate(hard)])


class Silent:
    """Shows nothing."""

    def begins(self, cell: Cell) -> None: ...
    def ended(self, cell: Cell, ended: Ended, going_on: bool) -> None: ...
    def stopping(self, why: str) -> None: ...
    def note(self, text: str) -> None: ...
    def standing(self, found: Mapping[str, CellRun], under_way: set[str]) -> None: ...


@dataclass
class Bench:
    plan: Plan
    registry: Registry
    workspace: Workspace
    executor: Recording

    def driver(self, **manner: bool) -> Driver:
        return Driver(self.plan, self.registry, self.executor, Silent(), Manner(**manner))

    def states(self, cells: Iterable[Cell] | None = None) -> dict[str, CellState]:
        found = cell_runs(self.registry, self.plan, cells)
        return {each.cell.title: each.state for each in found.values()}


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    def make(text: str, accuracy: Callable[[Cell, int], float] = lambda c, s: 0.5, at: str = "a"):
        home = tmp_path / at
        home.mkdir(exist_ok=True)
        (home / "plan.toml").write_text(text)
        workspace = Workspace(home)
        registry = open_registry(f"sqlite:///{home / 'registry.db'}")
        executor = Recording(registry, workspace, accuracy)
        return Bench(load_plan(home / "plan.toml"), registry, workspace, executor)

    return make


def stopping(house: Bench, driver: Driver, after: int) -> None:
    """Let Ctrl-C come while the driver waits for that many a time."""
    count = 0

    def poll(seconds: float) -> list[Ended]:
        nonlocal count
        count += 1
        if count == after:
            driver._handle(signal.SIGINT, None)
        return Recording.poll(house.executor, seconds)

    house.executor.poll = poll  # type: ignore[method-assign]


def by_rate(cell: Cell, step: int) -> float:
    """The middle rate is best, the smallest hopeless from the start, the largest later on."""
    rate = cell.config.train.lr
    return {1e-4: 0.8, 1e-5: 0.2}.get(rate, 0.8 if step < 20 else 0.4)


def test_every_cell_is_carried_out_once(bench) -> None:
    house = bench(PLAN)
    driver = house.driver()
    driver.carry_out(lambda: house.plan.cells)
    assert sorted(house.executor.submitted) == sorted((cell.id, None) for cell in house.plan.cells)
    assert end_code(cell_runs(house.registry, house.plan), driver) == 0
    again = house.driver()
    again.carry_out(lambda: house.plan.cells)
    assert len(house.executor.submitted) == 6


def test_a_log_gives_the_same_advice_once(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    house = bench(PLAN)
    monkeypatch.setattr(watching, "_LOG_EVERY_S", 0.0)
    monkeypatch.setattr(watching, "_LOOK_EVERY_S", 0.0)
    console = Console(file=io.StringIO(), width=200)
    with watching.PlanDisplay(console, house.registry, quiet=False, jobs=2) as display:
        driver = Driver(house.plan, house.registry, house.executor, display, Manner())
        driver.carry_out(lambda: house.plan.cells)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert said.count("finished") > 1
    assert said.count("Ctrl-C stops all cells") == 1


@pytest.mark.slow
def test_killed_cells_come_again_and_failed_ones_only_when_asked(bench) -> None:
    house = bench(PLAN)
    killed, failed = house.plan.cells[0], house.plan.cells[1]
    house.executor.codes = {killed.id: [-9, -9], failed.id: [1]}
    driver = house.driver()
    driver.carry_out(lambda: house.plan.cells)
    assert [cell_id for cell_id, _ in house.executor.submitted].count(killed.id) == 3
    assert house.states()[failed.title] is CellState.FAILED
    assert list(driver.left) == [failed.id]
    assert end_code(cell_runs(house.registry, house.plan), driver) == 1
    house.driver().carry_out(lambda: house.plan.cells)
    assert house.states()[failed.title] is CellState.FAILED
    house.driver(resume=True).carry_out(lambda: house.plan.cells)
    assert set(house.states().values()) == {CellState.FINISHED}


def test_a_cell_that_dies_every_time_is_left(bench) -> None:
    house = bench(PLAN)
    cell = house.plan.cells[0]
    house.executor.codes = {cell.id: [-9] * 10}
    driver = house.driver()
    driver.carry_out(lambda: house.plan.cells)
    assert [cell_id for cell_id, _ in house.executor.submitted].count(cell.id) == 3
    assert driver.left == {cell.id: "code -9"}


def test_the_first_failure_stops_all_when_asked(bench) -> None:
    house = bench(PLAN)
    house.executor.places = 1
    house.executor.codes = {house.plan.cells[1].id: [1]}
    driver = house.driver(fail_fast=True)
    driver.carry_out(lambda: house.plan.cells)
    assert len(house.executor.submitted) == 2
    assert house.executor.told == [signal.SIGINT]


@pytest.mark.slow
def test_cells_come_behind_the_one_they_start_from(bench) -> None:
    house = bench(PLAN + "[start]\ntrain.steps = 10\n")
    house.driver().carry_out(lambda: house.plan.cells)
    order = [cell_id for cell_id, _ in house.executor.submitted]
    for cell in house.plan.cells:
        assert order.index(str(cell.start)) < order.index(cell.id)
    assert len(order) == 8


def test_cells_behind_a_start_that_failed_are_left(bench) -> None:
    house = bench(PLAN + "[start]\ntrain.steps = 10\n")
    broken = house.plan.all.starts[0]
    house.executor.codes = {broken.id: [1]}
    driver = house.driver()
    driver.carry_out(lambda: house.plan.cells)
    behind = {cell.id for cell in house.plan.cells if cell.start == broken.id}
    assert driver.left.keys() == {broken.id} | behind
    assert {s for t, s in house.states().items() if t.endswith("seed 1")} == {CellState.FINISHED}


@pytest.mark.slow
def test_hopeless_settings_are_given_up_at_their_rung(bench) -> None:
    house = bench(HALVING, by_rate)
    carry_out_in_rungs(house.driver(), house.plan, house.workspace)
    assert house.states() == {
        **{f"lr 0.001 seed {seed}": CellState.GIVEN_UP for seed in (0, 1)},
        **{f"lr 0.0001 seed {seed}": CellState.FINISHED for seed in (0, 1)},
        **{f"lr 1e-05 seed {seed}": CellState.GIVEN_UP for seed in (0, 1)},
    }
    found = cell_runs(house.registry, house.plan)
    runs = {each.cell.title: each.run for each in found.values()}
    run = runs["lr 1e-05 seed 0"]
    assert run is not None
    assert run.exit_reason.startswith("given up by its plan at step 10: ")
    (event,) = [e for e in house.registry.events(run.uuid) if e.kind == "given_up"]
    assert event.data["leader"] == "lr 0.001"
    assert house.registry.last_steps([run.uuid]) == {run.uuid: 10}
    assert "at step 20" in str(runs["lr 0.001 seed 1"].exit_reason)


@pytest.mark.slow
def test_noise_gives_nothing_up(bench) -> None:
    house = bench(HALVING, lambda cell, step: 0.5 + 100 * (cell.config.train.lr or 0) / 10)
    carry_out_in_rungs(house.driver(), house.plan, house.workspace)
    assert set(house.states().values()) == {CellState.FINISHED}


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [4, 7])
def test_rungs_decide_the_same_behind_a_stop(bench, stop_after: int) -> None:
    whole = bench(HALVING, by_rate, "whole")
    carry_out_in_rungs(whole.driver(), whole.plan, whole.workspace)
    house = bench(HALVING, by_rate, "stopped")
    house.executor.order = random.Random(stop_after)
    driver = house.driver()
    stopping(house, driver, stop_after)
    carry_out_in_rungs(driver, house.plan, house.workspace)
    assert driver.signum == signal.SIGINT
    stopping(house, driver, 0)
    carry_out_in_rungs(house.driver(), house.plan, house.workspace)
    assert house.states() == whole.states()
    last = {}
    for place in (whole, house):
        found = cell_runs(place.registry, place.plan).values()
        last[place.workspace.root.name] = [each.run and each.run.exit_reason for each in found]
    assert last["whole"] == last["stopped"]


def peak(cell: Cell, step: int) -> float:
    """Best at a rate of 1e-3."""
    return max(0.05, 0.9 - 0.2 * abs(math.log10(cell.config.train.lr or 1) + 3))


def points(house: Bench) -> list[float]:
    found = trials(house.plan, house.registry)
    return [trial.point["train.lr"] for trial in found]


@pytest.mark.slow
def test_a_search_goes_on_from_the_registry_alone(bench) -> None:
    whole = bench(SEARCH, peak, "whole")
    driver = whole.driver()
    carry_out_search(driver, asker(whole.plan))
    assert len(whole.executor.submitted) == 6
    assert end_code(cell_runs(whole.registry, driver.plan), driver) == 0
    house = bench(SEARCH, peak, "stopped")
    house.executor.order = random.Random(5)
    for stop_after in (2, 3, 100):
        driver = house.driver()
        stopping(house, driver, stop_after)
        carry_out_search(driver, asker(house.plan))
    assert points(house) == points(whole)
    assert len(set(points(house))) == 6
    assert len(house.executor.submitted) == 6


@pytest.mark.slow
def test_a_search_learns_from_results(bench) -> None:
    """Two searches begin alike; one goes where rates are large, the other where they are small."""
    found = {}
    for sign in (1, -1):
        house = bench(
            SEARCH.replace("trials = 6", "trials = 9"),
            lambda cell, step, sign=sign: 0.5 + 0.1 * sign * (math.log10(cell.config.train.lr) + 3),
            f"sign{sign}",
        )
        carry_out_search(house.driver(), asker(house.plan))
        assert all(trial.value is not None for trial in trials(house.plan, house.registry))
        assert len(known_cells(house.plan, house.registry).cells) == 9
        found[sign] = points(house)
    assert found[1][:4] == found[-1][:4]
    assert sum(map(math.log10, found[1][4:])) > sum(map(math.log10, found[-1][4:]))


@pytest.mark.slow
def test_a_failed_trial_has_no_value_and_the_search_goes_on(bench) -> None:
    house = bench(SEARCH, peak)
    first = asker(house.plan)(0, [])
    broken = cell_at(house.plan.form, first, 0)[1].id
    house.executor.codes = {broken: [1]}
    carry_out_search(house.driver(), asker(house.plan))
    found = trials(house.plan, house.registry)
    assert [trial.number for trial in found if trial.failed] == [0]
    assert len([trial for trial in found if trial.value is not None]) == 5


def test_a_search_needs_ranges(bench) -> None:
    with pytest.raises(UserError, match="has no \\[search\\]"):
        asker(bench(PLAN).plan)
