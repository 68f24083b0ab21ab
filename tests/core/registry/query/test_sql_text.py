"""What filters become: bound parameters, in the SQL of SQLite and of PostgreSQL."""

import pytest

from core.registry.query.compiler import Compiler
from core.registry.query.fields import FIELDS, Catalogue
from core.registry.query.operands import Operands
from core.registry.query.parser import parse_filter
from core.registry.query.request import Selection
from core.registry.store import Registry
from tests.core.registry.query.conftest import HOSTILE, ROWS, quoted

EVERY_FIELD = (*FIELDS, "metric.loss", "metric.loss.min", "train.lr", "accuracy.lenient")
SORTED = ",".join(name for name in EVERY_FIELD if name != "tags")


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_no_value_is_ever_part_of_the_sql(dialect: str) -> None:
    for template in ("name = {}", "note ~ {}", "tags has {}", "train.lr in ({}, 3)", "tags !~ {}"):
        operands = Operands(dialect, 0.0, {"stale": [1], "lost": []})
        compiler = Compiler(Catalogue({"loss": 1}), operands)
        sql = compiler.condition(parse_filter(template.format(quoted(HOSTILE))))
        assert "DROP" not in sql
        assert any("DROP TABLE" in str(value) for value in operands.values.values())


def test_every_field_can_be_asked_for_sorted_by_and_missing(handmade: Registry) -> None:
    everything = ",".join(EVERY_FIELD)
    found = handmade.select_runs(Selection(sort=SORTED, columns=everything, archived=True))
    assert found.total == len(found.rows) == len(ROWS)
    for name in EVERY_FIELD:
        missing = handmade.select_runs(Selection(where=f"{name} is none", archived=True))
        there = handmade.select_runs(Selection(where=f"not {name} is none", archived=True))
        assert missing.total + there.total == found.total
