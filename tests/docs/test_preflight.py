"""docs/preflight.md lists the checks that the program makes, and only those."""

import re
from pathlib import Path

from trainers.preflight import CHECKS
from trainers.preflight_pairs import PAIR_CHECKS

TEXT = (Path(__file__).parents[2] / "docs" / "preflight.md").read_text(encoding="utf-8")


def test_the_table_of_checks_is_that_of_the_program() -> None:
    table = TEXT.split("| check |", 1)[1].split("\n\n", 1)[0]
    rows = re.findall(r"^\| ([a-z]+) \| (.+) \| ([a-z]+) \|$", table, re.MULTILINE)
    assert rows == [(check.name, check.looks_at, check.worst.value) for check in CHECKS]


def test_the_table_of_checks_of_pairs_is_that_of_the_program() -> None:
    table = TEXT.split("| check of pairs |", 1)[1].split("\n\n", 1)[0]
    rows = re.findall(r"^\| ([a-z]+) \| (.+) \| ([a-z]+) \|$", table, re.MULTILINE)
    assert rows == [(check.name, check.looks_at, check.worst.value) for check in PAIR_CHECKS]
