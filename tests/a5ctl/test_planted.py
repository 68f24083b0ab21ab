"""What is wrong is named: eight planted causes are found, and two healthy cases are left alone.

The cases, and how each was made, are in `planted/README.md`.
"""

import gzip
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from a5ctl.app import app
from tests.a5ctl.planted.dumps import DUMPS, GSM8K
from tests.a5ctl.planted.registry import FOLDER, record_runs

CASES: list[dict[str, Any]] = json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))
PLANTED = [case for case in CASES if case["acceptable"]]
HEALTHY = [case for case in CASES if not case["acceptable"]]
NEEDED = 7

pytestmark = pytest.mark.slow
Causes = list[dict[str, Any]]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Causes]:
    """The causes that the program names for each case."""
    folder = tmp_path_factory.mktemp("planted")
    return {case["name"]: _JUDGES[case["by"]](case, folder / case["name"]) for case in CASES}


def test_there_are_eight_planted_and_two_healthy_cases() -> None:
    assert (len(PLANTED), len(HEALTHY)) == (8, 2)


def test_planted_causes_are_named(said: Mapping[str, Causes]) -> None:
    named = [case["name"] for case in PLANTED if _is_named(case, said[case["name"]])]
    assert len(named) >= NEEDED, f"{len(named)} of 8 named: {named}\n{_all(said)}"


@pytest.mark.parametrize("name", [case["name"] for case in HEALTHY])
def test_a_healthy_case_is_not_accused(said: Mapping[str, Causes], name: str) -> None:
    assert said[name] == [], _all(said)


@pytest.mark.skipif(not GSM8K.exists(), reason="needs GSM8K beside the repository")
@pytest.mark.parametrize("name", DUMPS)
def test_a_dump_is_what_its_maker_writes(name: str) -> None:
    seed, lines = DUMPS[name]
    kept = gzip.decompress((FOLDER / f"{name}.jsonl.gz").read_bytes()).decode().splitlines()
    assert kept == [json.dumps(line) for line in lines(random.Random(seed))]


def _is_named(case: Mapping[str, Any], causes: Causes) -> bool:
    first = [cause["cause"] for cause in causes[: case["among_first"]]]
    return any(name in case["acceptable"] for name in first)


def _all(said: Mapping[str, Causes]) -> str:
    """What each case said, for the message of a failure."""
    lines = []
    for name, causes in said.items():
        told = [f"{cause['cause']} ({cause['count']}): {cause['evidence']}" for cause in causes]
        lines.append("\n    ".join([f"{name}: {len(causes)} causes", *told]))
    return "\n".join(lines)


def _diagnosed(case: Mapping[str, Any], home: Path) -> Causes:
    run = record_runs(home, *case["runs"])[-1]
    return _causes("diagnose", run, "--home", str(home))


def _graded(case: Mapping[str, Any], home: Path) -> Causes:
    home.mkdir()
    dump = home / f"{case['name']}.jsonl"
    dump.write_bytes(gzip.decompress((FOLDER / f"{case['name']}.jsonl.gz").read_bytes()))
    return _causes("grade", str(dump), "--home", str(home))


def _causes(*arguments: str) -> Causes:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert "causes" in document, f"{arguments[0]} --json has no causes"
    causes: Causes = document["causes"]
    return causes


_JUDGES: Mapping[str, Callable[[Mapping[str, Any], Path], Causes]] = {
    "diagnose": _diagnosed,
    "grade": _graded,
}
