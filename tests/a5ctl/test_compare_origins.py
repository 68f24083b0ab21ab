"""`a5ctl compare` of runs that started from runs: seeds of both make one setting."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from a5ctl.app import app
from core.registry.records import RunRecord, RunStatus
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import evaluation, right, wrong


def answers(solved: int) -> list[handmade.Answer]:
    return [right(10 + i) if i < solved else wrong(10 + i) for i in range(60)]


def tuned(home: Path, seed: int, *, lr: float = 1e-3, name: str = "aaa") -> RunRecord:
    result = evaluation(answers(20 + seed), step=40)
    return handmade.record(home, f"sft-60-{name}{seed}", [result], seed=seed, lr=lr)


def learned(
    home: Path,
    name: str,
    parent: RunRecord,
    seed: int,
    *,
    kind: str = "ei",
    step: int = 70,
    **options: Any,
) -> RunRecord:
    result = evaluation(answers(40 + seed), step=step)
    return handmade.record(
        home, f"{kind}-{name}", [result], kind=kind, seed=seed, parent=parent, **options
    )


def cells(home: Path, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = House(home, home, home).json("compare", *arguments)["cells"]
    return found


def sizes(home: Path, kind: str) -> list[int]:
    return sorted(
        len(cell["runs"]) for cell in cells(home) if cell["settings"].get("kind", kind) == kind
    )


@pytest.mark.slow
def test_three_seeds_of_two_stages_are_tested_as_settings(tmp_path: Path) -> None:
    for seed in range(3):
        learned(tmp_path, f"bbb{seed}", tuned(tmp_path, seed), seed, step=70 + seed)
    assert sizes(tmp_path, "ei") == [3], "rounds of other lengths end at other steps"
    found = House(tmp_path, tmp_path, tmp_path).json("compare", "--baseline", "sft-60-aaa0")
    (test,) = found["settings"]
    assert test["runs"] == ["ei-bbb0", "ei-bbb1", "ei-bbb2"]
    assert test["comparison"]["difference"] == 1 / 3


@pytest.mark.slow
def test_origins_of_other_settings_are_apart(tmp_path: Path) -> None:
    for seed, lr in enumerate((1e-3, 1e-3, 1e-4)):
        learned(tmp_path, f"bbb{seed}", tuned(tmp_path, seed, lr=lr), seed)
    assert sizes(tmp_path, "ei") == [1, 2]


@pytest.mark.slow
def test_the_origin_of_the_origin_counts_too(tmp_path: Path) -> None:
    for seed, lr in enumerate((1e-3, 1e-3, 1e-4)):
        first = learned(tmp_path, f"bbb{seed}", tuned(tmp_path, seed, lr=lr), seed)
        learned(tmp_path, f"ccc{seed}", first, seed + 3, method={"rollouts": 2})
    later = [c for c in cells(tmp_path) if c["runs"][0]["run"].startswith("ei-ccc")]
    assert sorted(len(cell["runs"]) for cell in later) == [1, 2]


@pytest.mark.slow
def test_checkpoints_on_the_way_are_apart_from_the_last(tmp_path: Path) -> None:
    for seed, model in enumerate(({}, {"run_step": 8}, {"run_step": 8, "run_choice": "best"})):
        learned(tmp_path, f"bbb{seed}", tuned(tmp_path, seed), seed, model=model)
    origins = [cell["settings"]["model.from"] or "" for cell in cells(tmp_path)]
    assert {origin.partition(", ")[2] for origin in origins} == {"", "step 8", "best"}


def test_one_seed_from_several_origins_is_not_merged(tmp_path: Path) -> None:
    for seed in range(2):
        learned(tmp_path, f"bbb{seed}", tuned(tmp_path, seed), seed=0)
    found = [cell for cell in cells(tmp_path) if cell["runs"][0]["run"].startswith("ei")]
    assert [len(cell["runs"]) for cell in found] == [1, 1]
    origins = sorted(cell["settings"]["model.from"].rpartition(", ")[2] for cell in found)
    assert origins == ["sft-60-aaa0", "sft-60-aaa1"]


@pytest.mark.slow
def test_an_unfinished_run_is_not_averaged_with_ends(tmp_path: Path) -> None:
    for seed, status in enumerate((RunStatus.FINISHED, RunStatus.INTERRUPTED)):
        learned(tmp_path, f"bbb{seed}", tuned(tmp_path, seed), seed, status=status)
    assert sizes(tmp_path, "ei") == [1, 1]


@pytest.mark.slow
def test_an_origin_that_was_deleted_goes_by_its_id(tmp_path: Path) -> None:
    parent = tuned(tmp_path, 0)
    learned(tmp_path, "bbb0", parent, 0)
    tuned(tmp_path, 1, name="zzz")
    registry = handmade.open_home(tmp_path)
    with registry.database.begin() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql(f"DELETE FROM run WHERE uuid = '{parent.uuid}'")
    registry.close()
    (cell,) = [c for c in cells(tmp_path) if c["runs"][0]["run"] == "ei-bbb0"]
    assert cell["settings"]["model.from"] == "sft-60-aaa0"


def preferring(home: Path, seed: int, *, pairs: str | None = None, beta: float = 0.1) -> None:
    method = {"pairs": pairs or f"pairs_{seed}.jsonl", "beta": beta}
    learned(home, f"bbb{seed}", tuned(home, seed), seed, kind="dpo", method=method)


@pytest.mark.slow
def test_a_setting_that_every_seed_has_its_own_value_of_can_be_taken_as_one(
    tmp_path: Path,
) -> None:
    for seed in range(3):
        preferring(tmp_path, seed)
    assert sizes(tmp_path, "dpo") == [1, 1, 1]
    for name in ("dpo.pairs", "pairs"):
        found = House(tmp_path, tmp_path, tmp_path).json("compare", "--same", name)
        assert sorted(len(cell["runs"]) for cell in found["cells"]) == [3, 3]
        assert found["same"] == [name]
    found = House(tmp_path, tmp_path, tmp_path).json(
        "compare", "--same", "pairs", "--baseline", "sft-60-aaa0"
    )
    assert [len(test["runs"]) for test in found["settings"]] == [3]
    told = House(tmp_path, tmp_path, tmp_path).run("compare", "--same", "pairs").output
    assert "taken as one setting, whatever it is: pairs" in told


@pytest.mark.slow
def test_other_settings_keep_runs_apart(tmp_path: Path) -> None:
    for seed, beta in enumerate((0.1, 0.1, 0.5)):
        preferring(tmp_path, seed, beta=beta)
    found = House(tmp_path, tmp_path, tmp_path).json("compare", "--kind", "dpo", "--same", "pairs")
    assert sorted(len(cell["runs"]) for cell in found["cells"]) == [1, 2]


@pytest.mark.slow
def test_runs_of_one_seed_are_never_taken_as_one(tmp_path: Path) -> None:
    parent = tuned(tmp_path, 0)
    for name in ("bbb0", "bbb1"):
        learned(tmp_path, name, parent, 0, kind="dpo", method={"pairs": name})
    told = House(tmp_path, tmp_path, tmp_path).run("compare", "--same", "dpo.pairs")
    assert told.exit_code == 2
    assert "would make dpo-bbb1 and dpo-bbb0 one setting, but both are of seed 0" in " ".join(
        told.output.split()
    )


@pytest.mark.slow
def test_a_setting_that_no_run_has_is_refused(tmp_path: Path) -> None:
    for seed in range(2):
        preferring(tmp_path, seed)
    told = House(tmp_path, tmp_path, tmp_path).run("compare", "--same", "pears")
    assert told.exit_code == 2
    assert "they differ in data.size, dpo.beta, dpo.pairs" in " ".join(told.output.split())


@pytest.mark.slow
@pytest.mark.parametrize("width", [80, 140])
def test_titles_of_settings_stay_whole_where_spare_columns_can_leave(
    tmp_path: Path, width: int
) -> None:
    parent = tuned(tmp_path, 0)
    for on in (True, False):
        method = {"std_normalization": on}
        learned(tmp_path, f"bbb{on:d}", parent, 0, kind="grpo", method=method)
    environment = {"A5CTL_HOME": str(tmp_path), "COLUMNS": str(width), "NO_COLOR": "1"}
    shown = CliRunner(env=environment).invoke(app, ["compare", "--kind", "grpo"]).output
    (titles,) = [line.split() for line in shown.splitlines() if "accuracy " in line][:1]
    assert titles[:3] == ["run", "std_normalization", "accuracy"]
    assert max(map(len, shown.splitlines())) <= width
