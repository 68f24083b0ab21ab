"""Commands as they are printed in README and docs are ones that the program takes."""

import re
import shlex
from pathlib import Path

import pytest

from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import evaluation, record, right, unclosed, wrong
from tests.a5ctl.test_help import resolve

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(?:\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_COLUMNS = re.compile(r"\s{2,}(?![-#\"'])\S.*")
"""Some pages explain commands in a column of their own."""
_SHORTENED = re.compile(r"\.\.\.|[<>|\[\]{}&]|\bRUN\b.*\bRUN\b|\\$")
"""Not meant to be typed as it stands."""

_HEADLINE = re.compile(r"a5ctl \w+(-\d+)?-\w{4}  ")
"""What a run prints first."""


def lines(page: Path) -> list[str]:
    """The command lines of a page's code blocks, with what is written over several joined."""
    found = []
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            bare = line.removeprefix("$ ")
            if bare.startswith("a5ctl ") and not _HEADLINE.match(bare) and bare.count('"') % 2 == 0:
                found.append(_COLUMNS.sub("", bare))
    return found


COMMANDS = [
    (page.name, line)
    for page in PAGES
    if page.name != "cli.md"
    for line in lines(page)
    if not _SHORTENED.search(line) and "-completion" not in line  # that would be done at once
]


def test_most_commands_are_looked_at() -> None:
    assert len(COMMANDS) > 100
    assert [line for name, line in COMMANDS if name == "README.md"]


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_printed_command_can_be_typed(page: str, line: str) -> None:
    resolve(line)


def test_the_first_lines_of_the_readme_need_nothing_but_what_they_made() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    start = readme[readme.index("## Start") : readme.index("## What a run shows")]
    block = next(text for text in _BLOCK.findall(start) if "a5ctl ui" in text)
    words = [word for line in block.splitlines() for word in line.partition("#")[0].split()]
    assert {"run", "compare", "diagnose", "ui", "report"} <= set(words)
    named = {word for word in words if re.fullmatch(r"(sft|grpo|ei|eval|dpo)-[\w-]+", word)}
    assert named <= {"sft-256", "sft-64"}, "ids that nobody has"


def test_the_lines_of_the_readme_work_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On runs like those that the first two of them make; `ui` has tests of its own."""
    for run_id, size in (("sft-256-k3f9", 256), ("sft-64-m2x7", 64)):
        answers = [right(10), wrong(11), unclosed(12)]
        record(tmp_path, run_id, [evaluation(answers, step=8)], size=size, seed=0)
    monkeypatch.chdir(tmp_path)
    house = House(tmp_path, tmp_path, tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = next(text for text in _BLOCK.findall(readme) if "a5ctl ui" in text)
    typed = [shlex.split(line, comments=True) for line in block.splitlines()]
    done = [words[1:] for words in typed if words[0] == "a5ctl" and words[1] not in ("run", "ui")]
    assert {words[0] for words in done} == {"compare", "diagnose", "report"}
    for words in done:
        told = house.run(*words)
        assert told.exit_code == 0, (words, told.output)
    assert (tmp_path / "report.html").stat().st_size > 10_000
