"""A search of a plan: it goes on from the registry alone, learns, and lives with failures."""

import math
import random
from pathlib import Path

import pytest

from a5ctl.plans.driver import end_code
from a5ctl.plans.searching import carry_out_search
from a5ctl.plans.tpe import asker
from core.errors import UserError
from core.plans.cells import Cell, cell_at
from core.plans.runs import cell_runs
from core.plans.search import known_cells, trials
from tests.a5ctl.plan_bench import PLAN, Bench, Benches, benches, stopping

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


@pytest.fixture
def bench(tmp_path: Path) -> Benches:
    return benches(tmp_path)


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
