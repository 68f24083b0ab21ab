"""docs/queries.md lists the fields that the program knows, and its examples are filters."""

import re
from pathlib import Path

from core.registry.query.fields import FIELDS, FieldType
from core.registry.query.parser import parse_filter

TEXT = (Path(__file__).parents[2] / "docs" / "queries.md").read_text(encoding="utf-8")
SHORT = {
    FieldType.TEXT: "text",
    FieldType.NUMBER: "number",
    FieldType.SHARE: "share",
    FieldType.TIME: "time",
    FieldType.DURATION: "duration",
    FieldType.FLAG: "flag",
    FieldType.TAGS: "tags",
}


def test_the_fields_are_those_of_the_program() -> None:
    rows = re.findall(r"^\| `([a-z0-9_]+)` \| ([a-z]+) \| (.+) \|$", TEXT, re.MULTILINE)
    assert rows == [(field.name, SHORT[field.type], field.meaning) for field in FIELDS.values()]


def test_the_examples_are_filters() -> None:
    examples = re.findall(r'--where "([^"]+)"', TEXT)
    assert len(examples) == 3
    for example in examples:
        parse_filter(example)
