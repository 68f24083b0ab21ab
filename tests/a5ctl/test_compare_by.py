"""`a5ctl compare` as a table that answers: rows by settings, moments, metrics, curves, lineage."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text
from scipy import stats

from a5ctl.tables.folded import FoldColumn, FoldedTable
from core.registry.recorder import Recorder
from core.registry.records import RunRecord
from core.registry.store import open_registry
from core.workspace import Workspace
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import evaluation, right, unclosed, wrong

SOLVED = {128: (4, 6, 8), 512: (12, 13, 17)}
TOKENS = {128: 100.0, 512: 300.0}
PROBLEMS, STEPS, PEAK = 20, 8, 19


def answers(solved: int) -> list[Any]:
    return [(right if i < solved else wrong if i < 18 else unclosed)(10 + i) for i in range(20)]


def record(home: Path, run: RunRecord, size: int) -> None:
    registry = handmade.open_home(home)
    with Recorder(registry, run.uuid, Workspace(home).run_folder(run.id)) as recorder:
        for step in range(1, STEPS + 1):
            recorder.metrics(step, {"loss": 10.0 / step, "tokens_total": TOKENS[size] * step})
    registry.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Two sizes over three seeds, best in the middle; a run of GRPO that began with one of them."""
    home = tmp_path_factory.mktemp("by")
    for size, solved in SOLVED.items():
        for seed, last in enumerate(solved):
            course = ((0, 1), (4, PEAK if size == 512 else 3), (STEPS, last))
            made = [evaluation(answers(level), step=step) for step, level in course]
            lr = 1e-4 if seed < 2 else 1e-3  # nobody looked
            run = handmade.record(home, f"sft-{size}-s{seed}{size}", made, size=size, seed=seed,
                                  lr=lr if size == 512 else 1e-4)  # fmt: skip
            record(home, run, size)
    parent = handmade.open_home(home).find_run("sft-512-s0512")
    made = [evaluation(answers(level), step=step) for step, level in ((0, PEAK), (6, 20))]
    child = handmade.record(
        home, "grpo-aaaa", made, kind="grpo", seed=0, parent=parent, model={"run_step": 4}
    )
    record(home, child, 128)
    return House(home, home, home)


def rows(house: House, *arguments: str) -> dict[str, dict[str, Any]]:
    """Rows by the values of their settings."""
    cells = house.json("compare", *arguments)["cells"]
    return {" ".join(str(v) for v in cell["settings"].values()): cell for cell in cells}


def refused(house: House, *arguments: str) -> str:
    result = house.run("compare", *arguments)
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


@pytest.mark.slow
def test_rows_are_made_by_short_names_with_students_interval(house: House) -> None:
    found = rows(house, "--kind", "sft", "--by", "size")
    assert list(found) == ["512", "128"], "the best first"
    values = [solved / PROBLEMS for solved in SOLVED[128]]
    assert found["128"]["accuracy"] == pytest.approx(sum(values) / 3)
    half = stats.t.ppf(0.975, 2) * stats.sem(values)
    assert found["128"]["seeds_interval"][1] == pytest.approx(sum(values) / 3 + half)
    assert [run["seed"] for run in found["128"]["runs"]] == [2, 1, 0]


def test_seeds_that_agree_are_no_certainty(house: House) -> None:
    alike = rows(house, "--kind", "sft", "--by", "size", "--at", "4")["128"]
    assert alike["accuracy"] == pytest.approx(3 / PROBLEMS)
    assert alike["seeds_interval"] is None


def test_two_runs_of_one_seed_are_one_value(tmp_path: Path) -> None:
    home = House(tmp_path, tmp_path, tmp_path)
    for number, (seed, solved) in enumerate([(0, 4), (0, 4), (1, 10)]):
        made = [evaluation(answers(solved), step=4)]
        handmade.record(tmp_path, f"sft-128-{number:04}", made, size=128, seed=seed)
    (cell,) = home.json("compare")["cells"]
    assert cell["accuracy"] == pytest.approx(18 / 3 / PROBLEMS)
    assert cell["standard_error"] == pytest.approx(stats.sem([4, 10]) / PROBLEMS)
    (row,) = rows(home, "--by", "size").values()
    assert row["seeds_interval"] is None


def test_rows_whose_runs_differ_in_more_say_so_and_have_no_interval(house: House) -> None:
    found = rows(house, "--kind", "sft", "--by", "size")
    assert found["128"]["mixed"] == {}
    assert found["512"]["mixed"] == {"train.lr": ["0.001", "0.0001"]}
    assert found["512"]["seeds_interval"] is None
    text = " ".join(house.run("compare", "--kind", "sft", "--by", "size").output.split())
    assert "the row size 512 mixes runs that differ in train.lr (0.001, 0.0001)" in text
    assert "sft-512-s2512" in text
    apart = rows(house, "--kind", "sft", "--by", "size,lr")
    assert list(apart) == ["512 0.001", "512 0.0001", "128 0.0001"]
    assert all(not cell["mixed"] for cell in apart.values())


def test_programs_get_figures_and_what_is_mixed(house: House) -> None:
    result = house.run("compare", "--kind", "sft", "--by", "size", "--format", "csv")
    rows = {row["data.size"]: row for row in csv.DictReader(io.StringIO(result.stdout))}
    assert float(rows["128"]["accuracy"]) == pytest.approx(sum(SOLVED[128]) / 3 / PROBLEMS)
    assert float(rows["128"]["standard_error"]) > 0
    assert rows["512"]["mixed"] == "train.lr"
    assert rows["512"]["standard_error"] == rows["512"]["low"] == ""
    assert rows["512"]["seeds"] == "2 1 0"


def test_what_is_the_same_everywhere_is_said_once(house: House) -> None:
    text = " ".join(house.run("compare", "--kind", "sft", "--by", "kind,size").output.split())
    assert "the same in every row: kind sft, unclosed 10.0%" in text
    assert "size runs accuracy" in text, "it is no column"


def test_names_of_settings_are_those_that_runs_have(house: House) -> None:
    assert "did you mean size" in refused(house, "--by", "sise")
    assert "empty name" in refused(house, "--by", "size,")
    assert "leave out one" in refused(house, "--by", "size", "--each")


def test_the_best_is_marked_as_selected_on_test(house: House) -> None:
    found = rows(house, "--kind", "sft", "--by", "size", "--at", "best")
    assert found["512"]["accuracy"] == pytest.approx(PEAK / PROBLEMS)
    assert {run["step"] for run in found["512"]["runs"]} == {4}
    assert all(run["best_on_test"] for cell in found.values() for run in cell["runs"])
    shown = house.run("compare", "--kind", "sft", "--by", "size", "--at", "best").output
    assert "95.0%†" in shown
    assert "selected on test" in " ".join(shown.split())


def test_a_best_that_a_development_split_chose_is_not(tmp_path: Path) -> None:
    from dataclasses import replace

    def of(split: str, step: int, solved: int) -> Any:
        return replace(evaluation(answers(solved), step=step), split=split)

    made = [of("dev", 1, 18), of("test", 1, 5), of("dev", 2, 9), of("test", 2, 17)]
    handmade.record(tmp_path, "sft-1-aaaa", made)
    ((row,),) = [c["runs"] for c in House(tmp_path, tmp_path, tmp_path).json(
        "compare", "--at", "best")["cells"]]  # fmt: skip
    assert (row["split"], row["step"], row["accuracy"]) == ("test", 1, 0.25)
    assert not row["best_on_test"]


def test_a_step_is_taken_exactly_or_its_neighbours_are_named(house: House) -> None:
    found = rows(house, "--kind", "sft", "--by", "size", "--at", "4")
    assert found["128"]["accuracy"] == pytest.approx(3 / PROBLEMS)
    assert found["128"]["runs"][0]["tokens_trained"] == 4 * TOKENS[128]
    text = refused(house, "--kind", "sft", "--at", "5")
    assert "a5ctl ls" in text or "step 5" in text
    some = house.json("compare", "--at", str(STEPS))["warnings"]
    assert any("grpo-aaaa has no evaluation at step 8 (the nearest: 0 and 6)" in w for w in some)
    assert "choose last, best, budget, or a step" in refused(house, "--at", "worst")


def test_a_budget_is_as_many_tokens_as_all_have_reached(house: House) -> None:
    found = house.json("compare", "--kind", "sft", "--by", "size", "--at", "budget")
    steps = {c["settings"]["data.size"]: {r["step"] for r in c["runs"]} for c in found["cells"]}
    # 8 steps of 100 tokens; 300 a step get to step 2, so the evaluation of step 0 is the last
    assert steps == {128: {STEPS}, 512: {0}}
    assert any("at 800 training tokens" in warning for warning in found["warnings"])


@pytest.mark.slow
def test_other_metrics_are_read_at_the_moment_that_was_chosen(house: House) -> None:
    last = rows(house, "--kind", "sft", "--by", "size", "--metric", "loss")
    assert last["128"]["value"] == pytest.approx(10 / STEPS)
    early = rows(house, "--kind", "sft", "--by", "size", "--metric", "loss", "--at", "best")
    assert early["512"]["value"] == pytest.approx(10 / 4)
    assert early["512"]["accuracy"] == pytest.approx(PEAK / PROBLEMS)
    assert list(early) == ["128", "512"], "the smallest loss first"
    closed = rows(house, "--kind", "sft", "--by", "size", "--metric", "unclosed")
    assert closed["128"]["value"] == pytest.approx(0.1)
    assert "did you mean loss" in refused(house, "--metric", "los")


def test_a_child_carries_on_what_its_parent_took(house: House) -> None:
    alone = rows(house, "--kind", "grpo", "--by", "kind")[""]["runs"][0]
    assert alone["carried"] is None
    options = ("--kind", "grpo", "--by", "kind", "--follow-lineage", "--spark", "accuracy")
    (run,) = rows(house, *options)[""]["runs"]
    assert run["carried"]["runs"] == [{"run": "sft-512-s0512", "step": 4}]
    assert run["tokens_trained"] == pytest.approx(4 * TOKENS[512] + STEPS * TOKENS[128])
    assert run["seconds"] >= alone["seconds"]
    # the weights that were passed on are measured by both and drawn once
    assert run["curve"] == [[0, 1 / 20], [4, PEAK / 20], [4 + 6, 1.0]]
    # the child spent its parent's tokens first
    found = house.json("compare", "--at", "budget", "--follow-lineage")
    steps = {run["run"]: run["step"] for cell in found["cells"] for run in cell["runs"]}
    assert "grpo-aaaa" not in steps, "its parent alone took more than all others have"
    assert any("grpo-aaaa has no evaluation within 800" in text for text in found["warnings"])


def test_curves_of_all_rows_have_one_scale_and_few_points(house: House) -> None:
    text = house.run("compare", "--kind", "sft", "--by", "size", "--spark", "loss").output
    assert "▁" in text
    assert "█" in text
    assert "loss over the steps" in " ".join(text.split())
    assert "none of these runs has it" in refused(house, "--spark", "lost")


def test_a_sampled_curve_reads_what_counts_after_a_resume(tmp_path: Path) -> None:
    run = handmade.record(tmp_path, "sft-1-aaaa", [])
    folder = Workspace(tmp_path).run_folder(run.id)
    for start, value in ((0, 1.0), (40, 2.0)):
        registry = handmade.open_home(tmp_path)
        with Recorder(registry, run.uuid, folder) as recorder:
            if start:
                recorder.begin_segment(start)
            for step in range(start + 1, 101):
                recorder.metrics(step, {"loss": value})
        registry.close()
    registry = open_registry(f"sqlite:///{tmp_path / 'registry.db'}")
    (curve,) = registry.sampled_curves([run.uuid], "loss", 6).values()
    assert [(step, value) for step, value in curve] == [
        (0, 1.0), (20, 1.0), (40, 1.0), (60, 2.0), (80, 2.0), (100, 2.0)
    ]  # fmt: skip
    moments = [(run.uuid, 40), (run.uuid, 41), (run.uuid, 0)]
    found = registry.values_at(moments, "loss")
    assert [found[m].value for m in moments[:2]] == [1.0, 2.0]
    assert moments[2] not in found
    registry.close()


@pytest.mark.slow
def test_every_format_escapes_its_own_characters(tmp_path: Path) -> None:
    evil = "=cmd|'x'!A1 <b>&_{50%}~\\end"
    for seed, template in ((0, evil), (1, "plain")):
        run_id = f"sft-1-aaa{seed}"
        handmade.record(
            tmp_path, run_id, [evaluation(answers(5))], seed=seed, model={"adapter": template}
        )
    house = House(tmp_path, tmp_path, tmp_path)

    def printed(form: str) -> str:
        result = house.run("compare", "--format", form)
        assert result.exit_code == 0, result.output
        return result.stdout

    markdown = printed("md")
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1, "pipes stay in cells"
    assert "<b>" not in markdown
    html = printed("html")
    assert "&lt;b&gt;&amp;" in html
    assert "<b>" not in html
    latex = printed("latex")
    assert r"=cmd\textbar{}'x'!A1 \textless{}b\textgreater{}\&\_\{50\%\}" in latex
    assert r"\textasciitilde{}\textbackslash{}end" in latex
    titles, *cells = csv.reader(io.StringIO(printed("csv")))
    assert {row[titles.index("model.adapter")] for row in cells} == {f"'{evil}", "plain"}
    assert printed("json") == house.run("compare", "--json").stdout
    assert "exclude each other" in refused(house, "--json", "--format", "md")
    assert "choose table, md, csv" in refused(house, "--format", "xml")
    assert "--format md" in refused(house, "--lineage", "sft-1-aaa0", "--format", "md")


def test_long_values_are_folded_and_short_ones_are_whole() -> None:
    wide = FoldColumn("setting", [Text("answer=1,format=0.1"), Text("a")], right=False)
    kept = FoldColumn("run", [Text("sft-256-aaaa"), Text("sft-256-bbbb")], least=12)
    console = Console(width=24, file=io.StringIO(), color_system=None)
    console.print(FoldedTable([kept, wide], 24, strong_first=True))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 24
    assert [line for line in lines if "sft-256-aaaa" in line] == [" sft-256-aaaa  answer=1,"]
    assert "format=0.1" in "".join(line.strip() for line in lines[4:])
