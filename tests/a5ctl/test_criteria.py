"""`a5ctl compare --criteria`: a plan is noted when it is first seen, then judged with numbers."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from core.registry.records import RunStatus
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import evaluation, protocol, right, unclosed, wrong

PROBLEMS = 200
PLAN = """
name = "filters"
[sets.A]
group = "a"
[sets.B]
group = "b"
[[criterion]]
name = "B beats A"
candidates = ["B"]
baseline = "A"
at = { "data.size" = 256 }
direction = "higher"
"""


@pytest.fixture
def home(tmp_path: Path) -> House:
    return House(tmp_path, tmp_path, tmp_path)


def answers(share: float, seed: int, *, fail: Any = wrong) -> list[handmade.Answer]:
    """The same problems are hard for everybody; the seed decides on the ones between."""
    rng, order = random.Random(seed), random.Random(0)
    difficulty = [order.random() for _ in range(PROBLEMS)]
    return [
        right(10 + i) if hard + rng.gauss(0, 0.03) < share else fail(10 + i)
        for i, hard in enumerate(difficulty)
    ]


def runs(home: House, group: str, share: float, seeds: Sequence[int], **options: Any) -> None:
    fail = options.pop("fail", wrong)
    how = options.pop("protocol", protocol())
    for seed in seeds:
        result = evaluation(answers(share, seed, fail=fail), protocol=how)
        handmade.record(
            home.home, f"sft-{group}-{seed:04d}", [result], seed=seed, group=group, **options
        )


def judge(home: House, text: str = PLAN, *arguments: str) -> dict[str, Any]:
    path = home.home / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return dict(home.json("compare", "--criteria", str(path), *arguments))


def verdict(report: dict[str, Any]) -> str:
    (criterion,) = report["criteria"]
    return str(criterion["verdict"])


def finding(report: dict[str, Any]) -> dict[str, Any]:
    (criterion,) = report["criteria"]
    (found,) = criterion["findings"]
    return dict(found)


def test_a_plan_is_noted_before_there_are_runs(home: House) -> None:
    report = judge(home)
    assert verdict(report) == "cannot tell"
    assert "A has no finished run here" in finding(report)["reason"]
    assert report["judged_runs"] == []
    again = judge(home, "# a comment changes nothing\n" + PLAN)
    assert (again["hash"], again["first_seen"]) == (report["hash"], report["first_seen"])


@pytest.mark.slow
def test_three_seeds_that_agree_meet_a_claim(home: House) -> None:
    judge(home)
    runs(home, "a", 0.3, (0, 1, 2))
    runs(home, "b", 0.6, (0, 1, 2))
    report = judge(home)
    assert verdict(report) == "met"
    assert report["started_before_plan"] == []
    found = finding(report)
    assert found["figures"]["seeds"] == 3
    assert found["figures"]["problems"] == PROBLEMS
    assert found["figures"]["difference"] == pytest.approx(0.3, abs=0.08)
    assert found["adjusted"] < 0.05
    low, high = found["figures"]["interval"]
    assert 0 < low < found["figures"]["difference"] < high


@pytest.mark.slow
def test_the_opposite_is_not_met_and_noise_cannot_be_told(home: House) -> None:
    runs(home, "a", 0.6, (0, 1, 2))
    runs(home, "b", 0.3, (0, 1, 2))
    assert verdict(judge(home)) == "not met"
    runs(home, "c", 0.6, (3, 4, 5))
    runs(home, "d", 0.601, (3, 4, 5))
    text = PLAN.replace('group = "a"', 'group = "c"').replace('group = "b"', 'group = "d"')
    report = judge(home, text)
    assert verdict(report) == "cannot tell"
    assert finding(report)["figures"]["detectable"] > 0


@pytest.mark.slow
def test_two_seeds_do_not_speak_of_a_setting_but_of_checkpoints(home: House) -> None:
    runs(home, "a", 0.3, (0, 1))
    runs(home, "b", 0.6, (0, 1))
    report = judge(home)
    assert verdict(report) == "cannot tell"
    assert "2 paired of the 3 seeds" in finding(report)["reason"]
    report = judge(home, PLAN + 'scope = "checkpoints"\n')
    assert verdict(report) == "met"
    (criterion,) = report["criteria"]
    assert [f["runs"] for f in criterion["findings"]] == [
        ["sft-a-0000", "sft-b-0000"],
        ["sft-a-0001", "sft-b-0001"],
    ]


@pytest.mark.slow
def test_the_estimate_alone_decides_where_no_test_is_asked_for(home: House) -> None:
    runs(home, "a", 0.3, (0,))
    runs(home, "b", 0.6, (0,))
    assert verdict(judge(home, PLAN + "significant = false\n")) == "met"
    assert verdict(judge(home, PLAN + "significant = false\nmargin = 60\n")) == "not met"
    lower = PLAN.replace("higher", "lower") + "significant = false\n"
    assert verdict(judge(home, lower)) == "not met"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("share", "margin", "expected"),
    [(0.59, 15.0, "met"), (0.3, 15.0, "not met"), (0.59, 1.0, "cannot tell")],
)
def test_not_worse_by_more_than_a_margin(
    home: House, share: float, margin: float, expected: str
) -> None:
    runs(home, "a", 0.6, (0, 1, 2))
    runs(home, "b", share, (0, 1, 2))
    text = PLAN.replace("higher", "not_lower") + f"margin = {margin}\n"
    assert verdict(judge(home, text)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["unclosed", "formatted", "last_number", "unparseable"])
def test_other_metrics_than_accuracy(home: House, metric: str) -> None:
    runs(home, "a", 0.3, (0, 1, 2), fail=unclosed)
    runs(home, "b", 0.6, (0, 1, 2), fail=unclosed)
    report = judge(home, PLAN.replace("higher", "lower") + f'metric = "{metric}"\n')
    expected = {"unclosed": "met", "formatted": "not met"}.get(metric, "cannot tell")
    assert verdict(report) == expected


@pytest.mark.slow
def test_holm_corrects_over_the_whole_plan(home: House) -> None:
    runs(home, "a", 0.3, (0, 1, 2))
    runs(home, "b", 0.6, (0, 1, 2))
    alone = finding(judge(home))
    twice = PLAN + PLAN[PLAN.index("[[criterion]]") :].replace("B beats A", "again")
    report = judge(home, twice)
    for criterion in report["criteria"]:
        (found,) = criterion["findings"]
        assert found["adjusted"] == pytest.approx(2 * alone["figures"]["p"])


@pytest.mark.slow
def test_a_plan_changed_after_the_runs_started_says_so(home: House) -> None:
    judge(home, PLAN + "margin = 5\n")
    runs(home, "a", 0.3, (0, 1, 2))
    runs(home, "b", 0.6, (0, 1, 2))
    report = judge(home)
    assert len(report["started_before_plan"]) == 6
    assert report["changes"] == ["criterion 'B beats A' changed"]
    text = " ".join(home.run("compare", "--criteria", str(home.home / "plan.toml")).output.split())
    assert "6 of the 6 runs it judges had started" in text
    assert "criterion 'B beats A' changed" in text
    back = judge(home, PLAN + "margin = 5\n")
    assert back["started_before_plan"] == []


@pytest.mark.slow
def test_runs_that_do_not_count_are_named(home: House) -> None:
    runs(home, "a", 0.3, (0, 1, 2))
    runs(home, "b", 0.6, (0, 1))
    handmade.record(home.home, "sft-b-none", [], seed=2, group="b")
    half = [evaluation(answers(1.0, 2))]
    stopped = RunStatus.INTERRUPTED
    handmade.record(home.home, "sft-b-half", half, seed=2, group="b", status=stopped)
    report = judge(home)
    assert any("sft-b-none has no evaluation" in warning for warning in report["warnings"])
    assert any("sft-b-half is interrupted" in warning for warning in report["warnings"])
    assert finding(report)["figures"]["seeds"] == 2


@pytest.mark.slow
def test_a_side_with_several_settings_is_not_averaged(home: House) -> None:
    runs(home, "a", 0.3, (0, 1, 2))
    runs(home, "b", 0.6, (0, 1, 2))
    handmade.record(
        home.home, "sft-b-other", [evaluation(answers(0.6, 3))], seed=3, group="b", lr=1e-3
    )
    report = judge(home)
    assert "B holds several settings here (train.lr)" in finding(report)["reason"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "several"), [((None, None, None), False), ((None, None, 8), True)]
)
def test_checkpoints_that_runs_of_a_side_started_from_are_a_setting(
    home: House, steps: Sequence[int | None], several: bool
) -> None:
    runs(home, "a", 0.3, (0, 1, 2))
    for seed, step in enumerate(steps):
        start = handmade.record(home.home, f"sft-start-{seed:04d}", [], seed=seed, group="start")
        model = {} if step is None else {"run_step": step}
        how: dict[str, Any] = {"seed": seed, "group": "b", "parent": start, "model": model}
        result = evaluation(answers(0.6, seed))
        handmade.record(home.home, f"sft-b-{seed:04d}", [result], **how)
    found = finding(judge(home))
    assert ("B holds several settings here (model.from)" in (found["reason"] or "")) is several
    assert (found["verdict"] == "met") is not several


@pytest.mark.slow
def test_places_are_judged_one_by_one(home: House) -> None:
    for size, better in ((256, 0.6), (512, 0.3)):
        for group, share in (("a", 0.45), ("b", better)):
            for seed in range(3):
                handmade.record(
                    home.home,
                    f"sft-{size}-{group}{seed}xx",
                    [evaluation(answers(share, seed))],
                    seed=seed,
                    group=group,
                    size=size,
                )
    report = judge(home, PLAN.replace("256 }", '[256, 512, "full"] }'))
    (criterion,) = report["criteria"]
    assert [f["verdict"] for f in criterion["findings"]] == ["met", "not met", "cannot tell"]
    assert criterion["verdict"] == "not met"


@pytest.mark.slow
def test_one_evaluation_of_an_untrained_model_is_a_baseline_for_every_seed(home: House) -> None:
    handmade.record(
        home.home, "eval-base", [evaluation(answers(0.3, 9))], kind="eval", group="a", seed=0
    )
    runs(home, "b", 0.6, (0, 1, 2))
    report = judge(home, PLAN.replace('at = { "data.size" = 256 }\n', ""))
    assert verdict(report) == "met"
    assert finding(report)["figures"]["seeds"] == 3


@pytest.mark.slow
def test_differing_protocols_cannot_be_compared(home: House) -> None:
    runs(home, "a", 0.3, (0, 1, 2), protocol=protocol(max_tokens=64))
    runs(home, "b", 0.6, (0, 1, 2))
    assert "max_tokens" in finding(judge(home))["reason"]
    assert verdict(judge(home, PLAN, "--force")) == "met"


@pytest.mark.slow
def test_a_forced_judgement_counts_only_problems_that_are_the_same(home: House) -> None:
    runs(home, "a", 0.3, (0, 1, 2))
    other = {number: f"Another question, number {number}" for number in range(50)}
    for seed in (0, 1, 2):
        made = protocol(data_hash="0ther")
        moved = evaluation(answers(0.6, seed), protocol=made, questions=other)
        handmade.record(home.home, f"sft-b-{seed:04d}", [moved], seed=seed, group="b")
    assert "data_hash" in finding(judge(home))["reason"]
    assert finding(judge(home, PLAN, "--force"))["figures"]["problems"] == PROBLEMS - 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--criteria", "plan.toml", "--baseline", "sft-a"), "--criteria takes runs, baseline"),
        (("--criteria", "nowhere.toml"), "nowhere.toml cannot be read"),
    ],
)
def test_bad_input_is_one_sentence(home: House, arguments: tuple[str, ...], message: str) -> None:
    result = home.run("compare", *arguments)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output


@pytest.mark.parametrize("width", [40, 100])
def test_hostile_names_and_narrow_terminals(home: House, width: int) -> None:
    from typer.testing import CliRunner

    from a5ctl.app import app

    path = home.home / "plan.toml"
    path.write_text(PLAN.replace('"B beats A"', json.dumps("\x1b[31m[bold]B")), encoding="utf-8")
    environment = {"A5CTL_HOME": str(home.home), "COLUMNS": str(width), "NO_COLOR": "1"}
    result = CliRunner(env=environment).invoke(app, ["compare", "--criteria", str(path)])
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    assert "[bold]B" in result.output
    assert max(map(len, result.output.splitlines())) <= width


@pytest.mark.slow
def test_a_known_plan_is_judged_where_nothing_can_be_written(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs(home, "a", 0.4, (0,))
    judge(home)

    def refuse(*_: object) -> None:
        raise UserError("nothing can be written")

    monkeypatch.setattr("core.workspace._ensure_writable", refuse)
    monkeypatch.setattr("core.registry.database.Database.begin", refuse)
    assert verdict(judge(home)) == "cannot tell"


@pytest.mark.slow
def test_other_versions_of_the_grader_cannot_be_compared(home: House) -> None:
    runs(home, "a", 0.4, (0, 1, 2))
    runs(home, "b", 0.6, (0, 1, 2))
    handmade.change_versions(home.home, lambda version: version - 1, runs="sft-a-%")
    found = finding(judge(home))
    assert found["verdict"] == "cannot tell"
    assert "grader_version" in found["reason"]
    assert "a5ctl regrade" in found["reason"]
