"""docs/preflight.md lists the checks that the program makes, and only those."""

import re
from pathlib import Path

import pytest

from trainers.preflight import CHECKS
from trainers.preflight_grpo import GRPO_CHECKS
from trainers.preflight_report import Check

TEXT = (Path(__file__).parents[2] / "docs" / "preflight.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("title", "checks"), [("# Preflight", CHECKS), ("## Before GRPO", GRPO_CHECKS)]
)
def test_the_table_of_checks_is_that_of_the_program(title: str, checks: tuple[Check, ...]) -> None:
    section = TEXT.split(f"{title}\n", 1)[1]
    table = section.split("| check |", 1)[1].split("\n\n", 1)[0]
    rows = re.findall(r"^\| ([a-z]+) \| (.+) \| ([a-z]+) \|$", table, re.MULTILINE)
    assert rows == [(check.name, check.looks_at, check.worst.value) for check in checks]
