"""What docs/generate.py writes is what stands in the repository."""

import runpy
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "generate.py"
FILES = (
    *("docs/cli.md", "docs/schema.md", "docs/watchdog.md", "docs/metrics.md", "docs/fits.md"),
    *("a5ctl/setting_names.py", "a5ctl/command_summaries.py"),
)


@pytest.fixture(scope="module")
def generated() -> Mapping[str, str]:
    """Every file that it writes, by its place in the repository."""
    found = runpy.run_path(str(SCRIPT))["generated"]()
    return {path.relative_to(ROOT).as_posix(): text for path, text in found.items()}


def test_all_files_are_looked_at(generated: Mapping[str, str]) -> None:
    assert set(generated) == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_reference_is_up_to_date(generated: Mapping[str, str], name: str) -> None:
    path = ROOT / name
    found = path.read_text(encoding="utf-8") if path.is_file() else ""
    assert found == generated[name], f"{name} is stale; run: python docs/generate.py"


def test_every_command_and_setting_is_in_the_reference(generated: Mapping[str, str]) -> None:
    text = generated["docs/cli.md"]
    for expected in ("## a5ctl run sft", "## a5ctl diagnose", "`--set VALUE`", "`train.lr`"):
        assert expected in text


def test_every_table_is_in_the_reference(generated: Mapping[str, str]) -> None:
    from sqlmodel import SQLModel

    text = generated["docs/schema.md"]
    assert {name for name in SQLModel.metadata.tables if f"## {name}\n" not in text} == set()
