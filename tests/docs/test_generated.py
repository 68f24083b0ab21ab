"""What docs/generate.py writes is what stands in the repository."""

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "generate.py"
GENERATED = runpy.run_path(str(SCRIPT))["generated"]()


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_reference_is_up_to_date(path: Path) -> None:
    found = path.read_text(encoding="utf-8") if path.is_file() else ""
    assert found == GENERATED[path], f"{path.name} is stale; run: python docs/generate.py"


def test_every_command_and_setting_is_in_the_reference() -> None:
    text = GENERATED[SCRIPT.with_name("cli.md")]
    for expected in ("## a5ctl run sft", "## a5ctl diagnose", "`--set VALUE`", "`train.lr`"):
        assert expected in text


def test_every_table_is_in_the_reference() -> None:
    from sqlmodel import SQLModel

    text = GENERATED[SCRIPT.with_name("schema.md")]
    assert {name for name in SQLModel.metadata.tables if f"## {name}\n" not in text} == set()
