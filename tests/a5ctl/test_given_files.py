"""Whatever stands in the place of a file that a person names: one sentence, and soon."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from a5ctl.cluster.site import load_site
from a5ctl.commands.grade import _opened
from a5ctl.defaults import read_file
from core.config.load import read_toml
from core.criteria.plan import load_plan as load_criteria
from core.data.dumps import read_dump
from core.data.files import read_problems
from core.data.mmlu import read_choices
from core.data.pairs import read_pairs
from core.errors import UserError
from core.given_files import LONGEST_LINE, bounded_lines
from core.interchange.decoding import load_document
from core.plans.load import load_plan
from core.prompts.template import load_prompt
from core.protocol_file import read_protocol


def read_responses(path: Path) -> None:
    with _opened(path) as file:
        list(read_dump(bounded_lines(file), str(path)))


TOML: list[Callable[[Path], object]] = [
    *(read_toml, load_plan, load_criteria, read_protocol, load_site, read_file)
]
RECORDS: list[Callable[[Path], object]] = [
    *(lambda path: read_problems(path, "p"), read_pairs, read_responses)
]
OTHERS: list[Callable[[Path], object]] = [
    *(load_document, lambda path: load_prompt(str(path)), lambda path: read_choices(path, "p"))
]


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes and devices with a name")
@pytest.mark.parametrize("what", ["pipe", "device", "folder", "loop", "terabyte"])
def test_what_is_no_file_or_has_no_end_is_named(tmp_path: Path, what: str) -> None:
    path = tmp_path / "given"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "folder":
        path.mkdir()
    elif what == "loop":
        path.symlink_to(path.name)
    else:
        with path.open("wb") as file:
            file.truncate(2**40)
    for read in (*TOML, *RECORDS, *OTHERS):
        if what == "pipe" and read is read_responses:
            continue  # `a5ctl grade <(zcat dump.gz)` is meant to work
        with pytest.raises(UserError) as refused:
            read(path)
        assert str(path) in str(refused.value)
        assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "text",
    ["a." * 20_000 + "b = 1", "a = " + "[" * 100_000, "a = " + "9" * 5_000, "a = {a = " * 50_000],
    ids=["a long key", "depth", "a long number", "deep tables"],
)
def test_toml_that_is_a_bomb_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "given.toml"
    path.write_text(text)
    for read in TOML:
        with pytest.raises(UserError, match="is not valid TOML"):
            read(path)


def test_a_line_without_end_is_not_read_to_it(tmp_path: Path) -> None:
    path = tmp_path / "given.jsonl"
    with path.open("wb") as file:
        file.write(b'{"question": "' + b"a" * LONGEST_LINE)
    for read in RECORDS:
        with pytest.raises(UserError, match="a line has 16,777,216 bytes or more"):
            read(path)
