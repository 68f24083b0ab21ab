"""The page of figures: what stands in the repository is what the stored results say."""

import runpy
from pathlib import Path

import pytest

from docs.pages.gpu import gpu_section
from docs.pages.promises import Promise, promises
from docs.pages.results import results

SCRIPT = Path(__file__).parents[2] / "docs" / "performance.py"
PAGE = runpy.run_path(str(SCRIPT))


def test_the_page_is_up_to_date() -> None:
    found = PAGE["PAGE"].read_text(encoding="utf-8")
    assert found == PAGE["page"](), "performance.md is stale; run: python docs/performance.py"


def test_promises_that_are_not_kept_stand_first() -> None:
    text = PAGE["page"]().split("## GPU")[0]
    states = [line.split("|")[1].strip(" *") for line in text.splitlines()[8:] if "`" in line]
    order = ["not kept", "never measured", "kept"]
    assert states == sorted(states, key=order.index)
    assert len(states) == len(promises(results()))


@pytest.mark.parametrize(
    ("bar", "value", "kept"),
    [
        ("at least 2 times", 1.98, False),
        ("at least 2 times", 2.0, True),
        ("under 0.5 s", 0.5, False),
        ("at most 3 times", 3.0, True),
    ],
)
def test_a_value_is_held_against_its_bar(bar: str, value: float, kept: bool) -> None:
    promise = Promise("", bar, (("", value),), "")
    assert promise.state == ("kept" if kept else "not kept")


def test_a_gpu_has_no_figures_before_the_suite_ran_on_one() -> None:
    found = {**results()}
    found.pop("gpu_suite", None)
    assert "No figure of a GPU exists yet" in gpu_section(found)
    row = {"name": "packed: MFU", "kind": "figure", "value": 0.41, "unit": "share"}
    row |= {"bar": ">= 0.4", "note": "of a card", "text": ""}
    found["gpu_suite"] = {"dry_run": False, "parts": {"sft-0.5b": {"rows": [row]}}}
    assert "| packed: MFU | 41.0 % | of a card |" in gpu_section(found)
    (mfu,) = (p for p in promises(found) if "0.5B shape, MFU" in p.text)
    assert mfu.state == "kept"
    found["gpu_suite"] = {**found["gpu_suite"], "dry_run": True}
    assert "No figure of a GPU exists yet" in gpu_section(found)
