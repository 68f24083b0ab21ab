"""`a5ctl compare`: what differs becomes a column; differences are tested problem by problem."""

from pathlib import Path

import pytest

from core.registry.records import RunStatus
from core.responses.names import GraderName
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import bad_separator, evaluation, right, unclosed, wrong


def ids(house: House, **wanted: object) -> list[str]:
    rows = house.json("ls")
    runs = rows["runs"] if isinstance(rows, dict) else rows
    return [r["id"] for r in runs if all(r.get(k) == v for k, v in wanted.items())]


@pytest.fixture(scope="module")
def compared(lived_in: House) -> House:
    lived_in.sft("--lr", "1e-2", "--steps", "40", "--max-tokens", "12", "--name", "hotter")
    return lived_in


@pytest.mark.slow
def test_seeds_of_one_setting_are_one_row_with_a_standard_error(compared: House) -> None:
    result = compared.json("compare")
    assert result["varying"] == ["train.lr", "evaluation.every", "train.steps"]
    sizes = sorted(len(cell["runs"]) for cell in result["cells"])
    assert sizes == [1, 2]
    pair = next(cell for cell in result["cells"] if len(cell["runs"]) == 2)
    assert pair["standard_error"] is not None
    assert pair["interval"] is None
    assert {run["seed"] for run in pair["runs"]} == {0, 1}


def test_each_lists_every_run_with_its_interval(compared: House) -> None:
    cells = compared.json("compare", "--each")["cells"]
    assert [len(cell["runs"]) for cell in cells] == [1, 1, 1]
    assert all(cell["interval"] is not None for cell in cells)


def test_a_baseline_gives_paired_tests_on_the_same_problems(compared: House) -> None:
    baseline = ids(compared, seed=1)[0]
    result = compared.json("compare", "--baseline", baseline)
    paired = [r["paired"] for c in result["cells"] for r in c["runs"] if r["run"] != baseline]
    assert len(paired) == 2
    for test in paired:
        assert test["comparison"]["n"] == 12
        assert 0 <= test["comparison"]["p"] <= test["adjusted"] <= 1
        low, high = test["bootstrap"]
        assert -1 <= low <= test["comparison"]["difference"] <= high <= 1


@pytest.mark.slow
def test_protocols_that_differ_are_named_and_not_tested(compared: House) -> None:
    other = compared.sft("--max-tokens", "5", "--steps", "1")
    baseline = ids(compared, seed=1)[0]
    result = compared.json("compare", other, "--baseline", baseline)
    assert any("max_tokens" in warning for warning in result["warnings"])
    (paired,) = [r["paired"] for c in result["cells"] for r in c["runs"] if r["run"] == other]
    assert paired["comparison"] is None
    assert "max_tokens" in paired["refused"]
    forced = compared.json("compare", other, "--baseline", baseline, "--force")
    (paired,) = [r["paired"] for c in forced["cells"] for r in c["runs"] if r["run"] == other]
    assert paired["comparison"] is not None


def test_another_grader_needs_no_generation(compared: House) -> None:
    result = compared.json("compare", "--grader", "lenient")
    assert result["grader"] == "lenient"
    for cell in result["cells"]:
        mean = sum(r["accuracy_by_grader"]["lenient"] for r in cell["runs"]) / len(cell["runs"])
        assert cell["accuracy"] == pytest.approx(mean)


@pytest.mark.slow
def test_the_weights_of_a_reward_are_one_column(tmp_path: Path) -> None:
    rewards = [{"answer": 1.0}, {"format": 0.1, "answer": 1.0}, {"answer": 1.0, "format": 0.1}]
    for seed, reward in enumerate(rewards):
        result = evaluation([right(10), wrong(11)])
        options = {"kind": "grpo", "seed": seed, "method": {"steps": 5, "reward": reward}}
        handmade.record(tmp_path, f"grpo-aaa{seed}", [result], **options)
    house = House(tmp_path, tmp_path, tmp_path)
    found = house.json("compare")
    assert found["varying"] == ["grpo.reward"]
    seeds = {cell["settings"]["grpo.reward"]: len(cell["runs"]) for cell in found["cells"]}
    assert seeds == {"answer=1": 1, "answer=1,format=0.1": 2}, "the order of parts says nothing"
    shown = house.run("compare").output
    assert " reward " in shown
    assert "answer=1,format=0.1" in shown


@pytest.mark.slow
def test_a_chosen_grader_makes_headline_graders_comparable(tmp_path: Path) -> None:
    strict = handmade.protocol(grader=GraderName.STRICT)
    handmade.record(tmp_path, "sft-2-aaaa", [evaluation([right(10), wrong(11)])])
    handmade.record(tmp_path, "sft-2-bbbb", [evaluation([right(10), right(11)], protocol=strict)])
    house = House(tmp_path, tmp_path, tmp_path)
    refused = house.json("compare", "--baseline", "sft-2-aaaa")
    assert "grader" in refused["warnings"][0]
    assert refused["grader"] is None
    assert "each run's own grader" in house.run("compare").output
    tested = house.json("compare", "--baseline", "sft-2-aaaa", "--grader", "lenient")
    assert tested["warnings"] == []
    rows = [run for cell in tested["cells"] for run in cell["runs"]]
    (paired,) = [row["paired"] for row in rows if row["run"] == "sft-2-bbbb"]
    assert paired["comparison"]["difference"] == 0.5


@pytest.mark.slow
def test_types_are_those_of_the_chosen_grader(tmp_path: Path) -> None:
    answers = [right(10), wrong(11), unclosed(12), bad_separator(13)]
    handmade.record(tmp_path, "sft-4-aaaa", [evaluation(answers)])
    house = House(tmp_path, tmp_path, tmp_path)

    def types(*arguments: str) -> list[int]:
        ((row,),) = [cell["runs"] for cell in house.json("compare", *arguments)["cells"]]
        return [row["type1"], row["type2"], row["type3"]]

    assert types() == types("--grader", "r1_zero") == [1, 1, 2]
    assert types("--grader", "lenient") == [3, 1, 0]


@pytest.mark.slow
def test_versions_of_a_chosen_grader_are_not_tested_against_each_other(tmp_path: Path) -> None:
    for run in ("sft-2-aaaa", "sft-2-bbbb"):
        handmade.record(tmp_path, run, [evaluation([right(10), wrong(11)])])
    handmade.change_versions(
        tmp_path, lambda version: version - 1, grader="strict", runs="sft-2-aaaa"
    )
    house = House(tmp_path, tmp_path, tmp_path)
    found = house.json("compare", "--baseline", "sft-2-aaaa", "--grader", "strict")
    assert "grader_version" in found["warnings"][0]
    assert "a5ctl regrade RUN judges" in found["warnings"][0]
    rows = [run for cell in found["cells"] for run in cell["runs"]]
    (paired,) = [row["paired"] for row in rows if row["run"] == "sft-2-bbbb"]
    assert paired["comparison"] is None
    assert "a5ctl regrade" in paired["refused"]
    same = house.json("compare", "--baseline", "sft-2-aaaa", "--grader", "lenient")
    assert same["warnings"] == []


@pytest.mark.slow
def test_runs_that_a_grader_never_judged_are_left_out(tmp_path: Path) -> None:
    for run in ("sft-2-aaaa", "sft-2-bbbb"):
        handmade.record(tmp_path, run, [evaluation([right(10), wrong(11)])])
    with handmade.open_home(tmp_path).database.begin() as connection:
        connection.exec_driver_sql(
            """UPDATE evaluation SET accuracies = '{"r1_zero": 0.5, "diagnostic": 0.5}' """
            "WHERE run = (SELECT key FROM run WHERE id = 'sft-2-aaaa')"
        )
    house = House(tmp_path, tmp_path, tmp_path)
    found = house.json("compare", "--grader", "strict")
    assert [run["run"] for cell in found["cells"] for run in cell["runs"]] == ["sft-2-bbbb"]
    assert "sft-2-aaaa has no accuracy under strict" in found["warnings"][0]
    assert found["warnings"][0].endswith("is left out")
    for refused in (("--baseline", "sft-2-aaaa"), ("sft-2-aaaa",)):
        result = house.run("compare", *refused, "--grader", "strict")
        assert result.exit_code == 2
        assert "sft-2-aaaa has no accuracy under strict" in " ".join(result.output.split())


@pytest.mark.parametrize("width", [60, 80, 140, 220])
def test_the_table_fits_the_terminal(compared: House, width: int) -> None:
    from typer.testing import CliRunner

    from a5ctl.app import app

    environment = {"A5CTL_HOME": str(compared.home), "COLUMNS": str(width), "NO_COLOR": "1"}
    result = CliRunner(env=environment).invoke(app, ["compare", "--each"])
    assert result.exit_code == 0, result.output
    assert max(len(line) for line in result.output.splitlines()) <= width
    assert "accuracy" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody",), "nobody"),
        (("--group", "none-such"), "there are no runs of group none-such"),
        (("--grader", "loose"), "grader 'loose' is unknown; choose r1_zero"),
        (("--baseline", "nobody"), "nobody"),
    ],
)
def test_bad_input_is_one_sentence(
    compared: House, arguments: tuple[str, ...], message: str
) -> None:
    result = compared.run("compare", *arguments)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_an_empty_registry_says_what_to_do(house: House) -> None:
    house.home.mkdir()
    result = house.run("compare")
    assert result.exit_code == 2
    assert "a5ctl run sft --size 256" in " ".join(result.output.split())


@pytest.mark.slow
def test_a_baseline_of_three_seeds_is_tested_as_a_setting(tmp_path: Path) -> None:
    for name, lr, solved in (("aaaa", 1e-4, 10), ("bbbb", 1e-3, 30)):
        for seed in range(3):
            answers = [right(10 + i) if i < solved + seed else wrong(10 + i) for i in range(60)]
            run_id = f"sft-60-{name}{seed}"
            handmade.record(tmp_path, run_id, [evaluation(answers)], seed=seed, lr=lr)
    house = House(tmp_path, tmp_path, tmp_path)
    result = house.json("compare", "--baseline", "sft-60-aaaa0")
    (tested,) = result["settings"]
    assert tested["runs"] == ["sft-60-bbbb0", "sft-60-bbbb1", "sft-60-bbbb2"]
    assert tested["comparison"]["difference"] == pytest.approx(1 / 3)
    assert tested["comparison"]["p"] == tested["adjusted"] < 0.001
    over_seeds = house.json("compare")["detectable"]
    assert (over_seeds["seeds"], over_seeds["problems"]) == (3, 60)
    assert over_seeds["difference"] == pytest.approx(tested["comparison"]["detectable"])
    assert "between the best two rows, over 3 paired seeds and 60 problems" in " ".join(
        house.run("compare").output.split()
    )
    text = " ".join(house.run("compare", "--baseline", "sft-60-aaaa0").output.split())
    assert "over 3 paired seeds and 60 problems, both random" in text
    assert "with 60 problems and this discordance, differences under" in text


@pytest.mark.slow
def test_the_smallest_difference_that_can_be_told_stands_under_every_table(tmp_path: Path) -> None:
    for name, solved in (("aaaa", 40), ("bbbb", 50), ("cccc", 10)):
        answers = [right(10 + i) if i < solved else wrong(10 + i) for i in range(100)]
        status = RunStatus.INTERRUPTED if name == "cccc" else RunStatus.FINISHED
        handmade.record(tmp_path, f"sft-100-{name}", [evaluation(answers)], status=status)
    house = House(tmp_path, tmp_path, tmp_path)
    # the best two differ in 10 of 100 problems: 2.8 * sqrt(0.1 / 100)
    expected = {"difference": pytest.approx(2.8 * 0.1 / 10**0.5), "problems": 100}
    expected |= {"seeds": None, "seeds_needed": None}
    assert house.json("compare")["detectable"] == expected
    text = " ".join(house.run("compare").output.split())
    assert "with 100 problems and the discordance of the best two runs" in text
    assert "differences under 8.9 points cannot be told from noise" in text
    assert "not at their end: sft-100-cccc (interrupted, step " in text
    against = house.json("compare", "--baseline", "sft-100-cccc")["detectable"]
    assert against["difference"] == pytest.approx(2.8 * (0.4 / 100) ** 0.5)


@pytest.mark.slow
def test_two_seeds_are_no_test_of_a_setting(tmp_path: Path) -> None:
    for name, lr in (("aaaa", 1e-4), ("bbbb", 1e-3)):
        for seed in range(2):
            result = evaluation([right(10), wrong(11)])
            handmade.record(tmp_path, f"sft-2-{name}{seed}", [result], seed=seed, lr=lr)
    house = House(tmp_path, tmp_path, tmp_path)
    (tested,) = house.json("compare", "--baseline", "sft-2-aaaa0")["settings"]
    assert tested["comparison"] is None
    assert "3 are needed" in tested["refused"]


@pytest.mark.slow
def test_several_samples_count_by_problem_and_give_pass_at_k_and_votes(tmp_path: Path) -> None:
    four = handmade.protocol(n=4)
    first = [right(10), right(10), wrong(10), wrong(10), *[wrong(11)] * 4]
    second = [right(10), right(10), right(10), wrong(10), *[right(11)] * 4]
    for run_id, answers in (("sft-2-aaaa", first), ("sft-2-bbbb", second)):
        handmade.record(tmp_path, run_id, [evaluation(answers, samples=4, protocol=four)])
    house = House(tmp_path, tmp_path, tmp_path)
    result = house.json("compare", "--baseline", "sft-2-aaaa")
    rows = {run["run"]: run for cell in result["cells"] for run in cell["runs"]}
    assert rows["sft-2-aaaa"]["sampled"] == {
        "samples": 4,
        "pass_at_k": {"1": 0.25, "2": pytest.approx(5 / 12), "4": 0.5},
        "majority": 0.5,
    }
    low, high = rows["sft-2-aaaa"]["interval"]
    assert high - low > 0.6  # two problems say little, however often they are asked
    paired = rows["sft-2-bbbb"]["paired"]["comparison"]
    assert paired["method"] == "problem-level z"
    assert (paired["n"], paired["only_b"]) == (2, 2)
    assert paired["difference"] == pytest.approx(5 / 8)
    assert "pass@4 50.0%, majority vote 50.0%" in " ".join(house.run("compare").output.split())
