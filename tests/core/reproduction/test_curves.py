"""Curves are compared value by value, and the first step that differs is named."""

import math

import pytest

from core.registry.records import MetricPoint
from core.reproduction.curves import compare_curves, is_measured, last_step


def curve(*values: float, start: int = 1) -> list[MetricPoint]:
    return [MetricPoint(step, value, 0.0) for step, value in enumerate(values, start)]


def test_equal_values_are_the_same_and_so_are_two_that_are_no_numbers():
    found = compare_curves(
        {"loss": curve(1.0, math.nan, math.inf)}, {"loss": curve(1.0, math.nan, math.inf)}, 3
    )
    assert [(m.name, m.values, m.same, m.first) for m in found] == [("loss", 3, True, None)]


def test_the_last_bit_is_a_difference():
    off = math.nextafter(2.0, 3.0)
    (loss,) = compare_curves({"loss": curve(1.0, 2.0, 4.0)}, {"loss": curve(1.0, off, 5.0)}, 3)
    assert (loss.first, loss.recorded, loss.again, loss.differing) == (2, 2.0, off, 2)
    assert (loss.largest, loss.largest_relative) == (1.0, 0.2)


def test_a_step_that_only_one_run_has_is_a_difference():
    (loss,) = compare_curves({"loss": curve(1.0, 2.0)}, {"loss": curve(1.0)}, 2)
    assert (loss.same, loss.first, loss.missing, loss.recorded, loss.again) == (
        False,
        2,
        1,
        2.0,
        None,
    )


def test_steps_behind_the_last_one_do_not_count():
    (loss,) = compare_curves({"loss": curve(1.0, 2.0)}, {"loss": curve(1.0)}, 1)
    assert loss.same
    assert compare_curves({"late": curve(1.0, start=9)}, {}, 8) == []


def test_a_metric_that_one_run_lacks_is_a_difference():
    found = compare_curves({"loss": curve(1.0)}, {"kl": curve(1.0)}, 1)
    assert [(m.name, m.same, m.missing) for m in found] == [("kl", False, 1), ("loss", False, 1)]


def test_not_a_number_against_a_number_has_no_largest_difference():
    (loss,) = compare_curves({"loss": curve(math.nan)}, {"loss": curve(1.0)}, 1)
    assert (loss.same, loss.largest, loss.largest_relative) == (False, 0.0, 0.0)


@pytest.mark.parametrize(
    "name", ["step_seconds", "tokens_per_second", "peak_memory", "gpu_bytes", "generate_seconds"]
)
def test_what_is_measured_is_not_compared(name):
    assert is_measured(name)
    assert compare_curves({name: curve(1.0)}, {name: curve(2.0)}, 1) == []


@pytest.mark.parametrize("name", ["loss", "tokens_total", "grad_norm", "entropy", "epoch"])
def test_what_came_out_is_compared(name):
    assert not is_measured(name)


def test_last_step_is_that_of_any_metric():
    assert last_step({"a": curve(1.0), "b": curve(1.0, 2.0), "c": []}) == 2
    assert last_step({}) == 0
