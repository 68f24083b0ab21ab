"""Commands as they are printed in README and docs are ones that the program takes."""

import re
import shlex
from pathlib import Path

import click
import pytest

from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import evaluation, record, right, unclosed, wrong
from tests.a5ctl.test_help import resolve
from tests.docs.printed import ROOT, lines

_BLOCK = re.compile(r"^```(?:\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_every_printed_command_can_be_typed() -> None:
    """Those that tests execute in words of their own, too."""
    refused = {}
    for line in lines():
        if line.spoken or line.text.endswith(("[OPTIONS]", "-completion")):
            continue
        words = line.words()
        if words[0] == "a5ctl":
            try:
                resolve(shlex.join(words))
            except click.ClickException as error:
                refused[line] = error.format_message()
    assert refused == {}


def test_the_first_lines_of_the_readme_need_nothing_but_what_they_made() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    start = readme[readme.index("## Start") : readme.index("## What a run shows")]
    block = next(text for text in _BLOCK.findall(start) if "a5ctl ui" in text)
    words = [word for line in block.splitlines() for word in line.partition("#")[0].split()]
    assert {"run", "compare", "diagnose", "ui", "report"} <= set(words)
    named = {word for word in words if re.fullmatch(r"(sft|grpo|ei|eval|dpo)-[\w-]+", word)}
    assert named <= {"sft-256", "sft-64"}, "ids that nobody has"


@pytest.mark.slow
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
