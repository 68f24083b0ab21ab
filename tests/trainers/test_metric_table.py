"""The table of metrics: complete, and of names that trainers really write."""

import re
from pathlib import Path

import pytest

from core.config.methods import RewardPart
from trainers import metric_table
from trainers.metric_table import METRICS, MetricMeaning, Topic

ROOT = Path(__file__).parents[2]
RECORDED = [metric for metric in METRICS if metric.topic is not Topic.EVALUATION]


def test_every_name_stands_there_once() -> None:
    assert len(metric_table.BY_NAME) == len(METRICS)


@pytest.mark.parametrize("metric", RECORDED, ids=lambda metric: metric.name)
def test_a_metric_is_written_where_the_table_says(metric: MetricMeaning) -> None:
    source = (ROOT / metric.source).read_text(encoding="utf-8")
    parts = {f"reward_{part}" for part in (*RewardPart, "overlong")}
    if metric.name in parts and metric.topic is Topic.GRPO:
        assert 'f"reward_{name}"' in source
    else:
        assert re.search(rf'"{metric.name}"', source)


def test_every_part_of_a_reward_has_a_line() -> None:
    assert {f"reward_{part}" for part in RewardPart} <= metric_table.BY_NAME.keys()


def test_every_metric_that_a_rule_of_the_watchdog_needs_is_explained() -> None:
    from trainers.watchdog import RULES

    needs = {name for rule in RULES for name in rule.needs}
    assert needs & metric_table.BY_NAME.keys()
    assert needs - metric_table.BY_NAME.keys() <= {"evaluation"}
