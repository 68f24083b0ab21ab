"""How a plan is carried out, with an executor that records cells instead of training them."""

import io
import random
import signal
from pathlib import Path

import pytest
from rich.console import Console

from a5ctl.plans import watching
from a5ctl.plans.driver import Driver, Manner, end_code
from a5ctl.plans.halving import carry_out_in_rungs
from core.plans.cells import Cell
from core.plans.runs import CellState, cell_runs
from tests.a5ctl.plan_bench import PLAN, Benches, benches, stopping

HALVING = PLAN.replace("[base]", "[base]\nevaluation.every = 10") + "[halving]\nat = [10, 20]\n"


@pytest.fixture
def bench(tmp_path: Path) -> Benches:
    return benches(tmp_path)


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
