"""Every command line that README and docs print is executed by a test, and which one is known."""

import csv
import json
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from a5ctl.cluster.site import load_site
from tests.a5ctl import walk
from tests.docs.account import NAMED, OURS, Elsewhere, NotHere, executed_by, way
from tests.docs.printed import OTHER_LANGUAGES, PAGES, ROOT, Line, blocks, lines

_CODE = {
    "python": {"docs/notebooks.md": "docs/test_notebooks.py"},
    "diff": {"docs/add-a-method.md": "docs/test_add_a_method.py"},
}
"""Pages with code, and what runs it."""
ELSEWHERE = sorted(
    {found for line in lines() if isinstance(found := way(line), Elsewhere)},
    key=lambda found: found.test,
)


def test_no_line_falls_through() -> None:
    assert [line for line in lines() if way(line) is None] == []


def test_every_page_is_looked_at() -> None:
    counts = Counter(line.page for line in lines())
    assert sum(counts.values()) > 550
    assert counts["docs/cli.md"] > 100
    assert counts["README.md"] > 30
    assert all(page.is_file() for page in PAGES)


def test_few_lines_are_executed_by_none() -> None:
    """Those that call what a cluster or a GPU machine has."""
    left = {line.text for line in lines() if isinstance(way(line), NotHere)}
    assert left == {
        "module load",
        "module load gcc",
        "module load cuda/13.0",
        'python -c "import flash_attn_2_cuda"',
        'python -c "import torch; print(torch.version.cuda)"',
    }


@pytest.mark.parametrize("test", OURS)
def test_each_test_of_this_folder_is_given_lines(test: str) -> None:
    assert executed_by(test), test


@pytest.mark.parametrize("found", ELSEWHERE, ids=lambda found: found.test.split("::")[0])
def test_a_test_elsewhere_is_there_and_gives_the_words(found: Elsewhere) -> None:
    name, _, function = found.test.partition("::")
    source = (ROOT / "tests" / name).read_text(encoding="utf-8")
    assert f"def {function}(" in source
    assert [word for word in found.words if word not in source] == []


def test_code_that_is_no_command_is_run_too() -> None:
    for language, known in _CODE.items():
        assert {page for page, _ in blocks(language)} == known.keys()
        for page, test in known.items():
            source = (ROOT / "tests" / test).read_text(encoding="utf-8")
            assert page.rpartition("/")[2] in source


def test_files_that_are_shown_can_be_read() -> None:
    assert set(_CODE) | {"toml", "json", "csv"} == OTHER_LANGUAGES
    assert len([tomllib.loads(body) for _, body in blocks("toml")]) >= 5
    assert len([json.loads(row) for _, body in blocks("json") for row in body.splitlines()]) >= 5
    ((page, table),) = blocks("csv")
    assert (page, len(next(csv.reader(table.splitlines())))) == ("docs/data.md", 6)


def test_a_site_file_is_one_that_batch_systems_take(tmp_path: Path) -> None:
    shown = [body for page, body in blocks("toml") if page == "docs/cluster.md"]
    assert len(shown) == 2
    whole = shown[0] if "[environment]" in shown[0] else "\n".join(shown)
    (tmp_path / "site.toml").write_text(whole, encoding="utf-8")
    site = load_site(tmp_path / "site.toml")
    assert site.partition == "gpu"


@pytest.mark.parametrize("line", executed_by(NAMED), ids=lambda line: f"{line.page} {line.text}")
def test_what_a_sentence_names_is_there(line: Line) -> None:
    """A command with its options; what it is given is often left out in a sentence."""
    words = line.words()[1:]
    options = [word.partition("=")[0] for word in words if word.startswith("-")]
    called = tuple(word for word in words if not word.startswith("-"))
    known = walk.commands()
    path = next((called[:n] for n in (2, 1) if called[:n] in known), None)
    if path is None:
        assert not called or called[0] in {first for first, *_ in known}, line
        assert set(options) <= {"--help", "--install-completion"}
        return
    taken = {name for names in walk.options(known[path]).values() for name in names}
    assert set(options) <= taken | {"--help"}, line
