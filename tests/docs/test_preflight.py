"""docs/preflight.md lists the checks that the program makes, and only those."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from trainers.preflight import CHECKS
from trainers.preflight_ei import EI_CHECKS
from trainers.preflight_grpo import GRPO_CHECKS
from trainers.preflight_pairs import PAIR_CHECKS
from trainers.preflight_report import Check

TEXT = (Path(__file__).parents[2] / "docs" / "preflight.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("place", "checks"),
    [
        ("# Preflight", CHECKS),
        ("## Before Expert Iteration", EI_CHECKS),
        ("## Before DPO", PAIR_CHECKS),
        ("## Before GRPO", GRPO_CHECKS),
    ],
)
def test_the_table_of_checks_is_that_of_the_program(
    place: str, checks: Sequence[Check[Any]]
) -> None:
    behind = TEXT[TEXT.index(place) :]
    table = behind[behind.index("| looks at | at worst |") :].split("\n\n", 1)[0]
    rows = re.findall(r"^\| ([a-z]+) \| (.+) \| ([a-z]+) \|$", table, re.MULTILINE)
    assert rows == [(check.name, check.looks_at, check.worst.value) for check in checks]
