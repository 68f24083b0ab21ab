"""Carries out a search: its trials as cells, as many as may be under way together."""

from collections.abc import Iterable

from a5ctl.plans.driver import Driver
from core.plans.cells import Cell
from core.plans.search import Ask, trials, with_trials


def carry_out_search(driver: Driver, ask: Ask) -> None:
    """Begin trials, and choose the next ones from what they gave, to the last.

    The cells of the driver's plan grow as trials are chosen.

    Args:
        driver: With a plan that has a search.
        ask: Chooses points.

    Raises:
        UserError: the executor cannot start a cell.
    """
    plan = driver.plan

    def source() -> Iterable[Cell]:
        driver.plan = with_trials(plan, trials(plan, driver.registry, ask))
        return driver.plan.cells

    driver.carry_out(source)
