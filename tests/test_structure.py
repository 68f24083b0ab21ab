"""The house: imports run downwards only, `a5ctl` -> `trainers` -> `core`, wherever they stand."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("package", "above"), [("core", "trainers|a5ctl"), ("trainers", "a5ctl")], ids=str
)
def test_imports_run_downwards(package: str, above: str) -> None:
    upward = re.compile(rf"^\s*(?:from|import)\s+(?:{above}|benchmarks|tests)\b.*", re.MULTILINE)
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    found = {
        str(file.relative_to(ROOT)): lines
        for file in files
        if (lines := upward.findall(file.read_text(encoding="utf-8")))
    }
    assert not found
