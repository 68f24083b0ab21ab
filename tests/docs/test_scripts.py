"""Scripts that the pages call take what they are given; what they measure takes too long here."""

import argparse
import os
import runpy
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs.account import SCRIPT, executed_by
from tests.docs.printed import ROOT


class ParsedError(Exception):
    """The script has understood its command line."""


CALLS = tuple(
    dict.fromkeys(tuple(w for w in line.words() if w != "nice")[1:] for line in executed_by(SCRIPT))
)


@pytest.fixture
def undone() -> Iterator[None]:
    """What a script imports beside itself, and sets for its process, is gone afterwards."""
    modules, variables = set(sys.modules), dict(os.environ)
    yield
    beside = os.fspath(ROOT / "benchmarks")
    for name in set(sys.modules) - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(beside):
            del sys.modules[name]
    os.environ.clear()
    os.environ.update(variables)


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
@pytest.mark.usefixtures("undone")
def test_a_script_takes_what_it_is_given(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = ROOT / words[0]
    source = script.read_text(encoding="utf-8")
    if "ArgumentParser" not in source:
        assert len(words) == 1
        compile(source, words[0], "exec")
        return
    # one passes what it does not know on to the program
    way = "parse_args" if ".parse_args(" in source else "parse_known_args"
    parse = getattr(argparse.ArgumentParser, way)

    def parsed(self: argparse.ArgumentParser, *arguments: Any, **given: Any) -> None:
        parse(self, *arguments, **given)
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, way, parsed)
    monkeypatch.setattr(sys, "argv", list(words))
    monkeypatch.syspath_prepend(script.parent)
    with pytest.raises(ParsedError):
        runpy.run_path(os.fspath(script), run_name="__main__")
