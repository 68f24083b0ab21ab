"""What filters become: bound parameters, on SQLite and on PostgreSQL, over tables that exist."""

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from core.registry import schema
from core.registry.query import tables
from core.registry.query.compiler import Compiler
from core.registry.query.fields import FIELDS, Catalogue
from core.registry.query.operands import Operands
from core.registry.query.parser import parse_filter
from core.registry.query.syntax import FieldName
from core.registry.query.tables import RUN
from tests.core.registry.query.conftest import HOSTILE, quoted

DIALECTS = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect()}
EVERY_FIELD = (*FIELDS, "metric.loss", "metric.loss.min", "train.lr", "accuracy.lenient")


def compiled(dialect: str, text: str) -> tuple[str, dict]:
    operands = Operands(dialect, 0.0, {"stale": [1], "lost": []})
    compiler = Compiler(Catalogue({"loss": 1}), operands)
    where = compiler.condition(parse_filter(text))
    statement = select(RUN.c.uuid).select_from(operands.joined()).where(where)
    done = statement.compile(dialect=DIALECTS[dialect])
    return str(done), done.params


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_value_is_ever_part_of_the_sql(dialect: str) -> None:
    for template in ("name = {}", "note ~ {}", "tags has {}", "train.lr in ({}, 3)", "tags !~ {}"):
        sql, parameters = compiled(dialect, template.format(quoted(HOSTILE)))
        assert "DROP" not in sql
        assert any("DROP TABLE" in str(value) for value in parameters.values())


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", EVERY_FIELD)
def test_every_field_can_be_asked_for_in_both_databases(dialect: str, name: str) -> None:
    operands = Operands(dialect, 0.0, {"stale": [1], "lost": []})
    compiler = Compiler(Catalogue({"loss": 1}), operands)
    operand = compiler.operand(FieldName(name, 0))
    missing = compiler.condition(parse_filter(f"{name} is none"))
    statement = select(*operand.outputs).select_from(operands.joined()).where(missing)
    assert str(statement.order_by(*operand.order).compile(dialect=DIALECTS[dialect]))


def test_the_light_tables_are_part_of_the_schema() -> None:
    light = (tables.RUN, tables.SEGMENT, tables.METRIC_SUMMARY, tables.EVALUATION)
    for table in light:
        full = schema.SQLModel.metadata.tables[table.name]
        for column in table.columns:
            kinds = (type(column.type).__name__, type(full.c[column.name].type).__name__)
            assert kinds[0].removeprefix("Auto") == kinds[1].removeprefix("Auto"), column
