"""The house: imports run downwards only, `a5ctl` -> `trainers` -> `core`, wherever they stand.

Scripts work in a checkout in which nothing is installed, as on a borrowed GPU machine.
"""

import ast
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


def scripts() -> list[Path]:
    files = [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "docs").glob("*.py")]
    return sorted(file for file in files if "__main__" in file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("script", scripts(), ids=lambda path: path.stem)
def test_a_script_names_the_checkout_before_it_imports_from_it(script: Path) -> None:
    ours = {"a5ctl", "benchmarks", "core", "docs", "tests", "trainers"}
    for statement in ast.parse(script.read_text(encoding="utf-8")).body:
        if ast.unparse(statement).startswith("sys.path.insert(0, str("):
            return
        if isinstance(statement, ast.ImportFrom):
            package = str(statement.module).partition(".")[0]
            assert package not in ours, f"line {statement.lineno} comes before sys.path.insert"
