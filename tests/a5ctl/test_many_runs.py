"""Many runs: what is read does not grow with what is not shown."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.registry_generator import Size, generate
from benchmarks.registry_runs import make_runs
from core.registry.database import Database
from core.registry.store import Registry
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House

RUNS = 120


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    home = tmp_path_factory.mktemp("many")
    generate(home, Size(RUNS, steps=8, metrics=3, problems=8, evaluations=2))
    return House(home, home, home)


@pytest.fixture
def registry(house: House) -> Iterator[Registry]:
    opened = handmade.open_home(house.home)
    yield opened
    opened.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every query that is made."""
    queries: list[str] = []
    read = Database.read

    def noted(self: Database, sql: str, *rest: object) -> list[tuple[object, ...]]:
        queries.append(sql)
        return read(self, sql, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Database, "read", noted)
    return queries


@pytest.mark.slow
def test_a_made_registry_reads_like_a_recorded_one(registry: Registry) -> None:
    runs = [run for run in registry.runs(archived=True) if run.id != "templates"]
    assert len(runs) == RUNS
    assert len({run.kind for run in runs}) >= 4
    assert any(run.parent_uuid for run in runs)
    assert any(registry.segments(run.uuid) for run in runs)
    evaluations = registry.evaluations([run.uuid for run in runs])
    assert len(registry.responses(evaluations[-1].uuid)) == evaluations[-1].n == 8


def test_the_same_seed_makes_the_same_runs() -> None:
    first, second = ([run.id for run in make_runs(50, 8, 3, 1e9)] for _ in range(2))
    assert first == second
    assert first != [run.id for run in make_runs(50, 8, 4, 1e9)]


@pytest.mark.parametrize("command", [("compare",), ("ls", "--limit", "0")])
def test_no_query_is_made_per_run_and_none_reads_steps_or_responses(
    house: House, asked: list[str], command: tuple[str, ...]
) -> None:
    assert house.run(*command).exit_code == 0
    assert len(asked) < 25
    many = [sql for sql in asked if re.search(r"\b(metric|grade) ", sql) or "response " in sql]
    assert len(many) <= 2, "the best two runs are tested for what can be told apart"


def test_the_last_evaluations_are_those_that_a_listing_shows(registry: Registry) -> None:
    uuids = [run.uuid for run in registry.runs(archived=True)]
    shown, whole = registry.headlines(uuids), registry.last_evaluations(uuids)
    assert shown.keys() == whole.keys()
    assert all(shown[uuid].accuracy == whole[uuid].accuracy for uuid in uuids if uuid in shown)
    every = registry.evaluations(uuids)
    for one in whole.values():
        assert one == next(e for e in every if e.uuid == one.uuid)


def test_only_the_named_metrics_are_summarized(registry: Registry) -> None:
    run = next(run for run in registry.runs() if run.kind == "sft" and run.status == "finished")
    assert set(registry.metric_summaries([run.uuid])[run.uuid]) == {"loss", "grad_norm", "lr"}
    assert set(registry.metric_summaries([run.uuid], ["lr", "none"])[run.uuid]) == {"lr"}
    assert registry.metric_summaries([run.uuid], [])[run.uuid] == {}


@pytest.mark.slow
def test_a_long_comparison_shows_its_best_rows_and_says_how_many_there_are(house: House) -> None:
    every = house.json("compare", "--each")["cells"]
    assert len(every) > 50
    text = house.run("compare", "--each").stdout
    assert f"{len(every) - 50} more rows not shown" in text
    assert house.json("compare", "--each", "--limit", "7")["cells"] == every[:7]
    whole = house.run("compare", "--each", "--limit", "0").stdout
    assert "not shown" not in whole
    assert every[-1]["runs"][0]["run"] in whole


@pytest.mark.slow
def test_the_baseline_is_shown_however_bad_it_is(house: House) -> None:
    worst = house.json("compare", "--each")["cells"][-1]["runs"][0]["run"]
    cells = house.json("compare", "--baseline", worst, "--limit", "3")["cells"]
    assert [cell["runs"][0]["run"] for cell in cells][3:] == [worst]


def test_runs_without_an_evaluation_are_one_warning(house: House) -> None:
    told = [w for w in house.json("compare")["warnings"] if "no evaluation" in w]
    assert len(told) == 1
    assert "are left out" in told[0] or "is left out" in told[0]


def test_limit_belongs_to_a_table_of_runs(house: House, tmp_path: Path) -> None:
    for other in (("--lineage", "x"), ("--criteria", str(tmp_path / "plan.toml"))):
        result = house.run("compare", *other, "--limit", "3")
        assert result.exit_code == 2
        assert "--limit" in result.output
