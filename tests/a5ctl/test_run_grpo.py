"""`a5ctl run grpo`: what is recorded, what is refused, and how rollbacks treat rollouts."""

import math
from pathlib import Path

import pytest

from tests.a5ctl.conftest import House, small_house
from tests.a5ctl.grpo_runs import (
    UPDATES,
    count_samplings,
    curves,
    registry_of,
    responses,
    small_grpo,
)
from trainers import metric_table
from trainers.grpo import GRPO

EACH_UPDATE = {
    *("loss", "grad_norm", "lr", "tokens", "supervised_fraction", "padding_share", "entropy"),
    *("clip_fraction", "ratio_max", "engine_gap", "engine_gap_max", "tokens_total"),
}
EACH_BATCH = {
    *("reward", "reward_answer", "reward_length", "right_share", "formatted_share"),
    *("truncated_share", "response_tokens", "response_tokens_p90", "zero_advantage_share"),
    *("advantage_std", "distinct_answers", "top_answer_share", "second_think_share"),
    *("template_copy_share", "degenerate_share", "refills"),
}
PHASES = {f"{name}_seconds" for name in ("generate", "grade", "sync", "log_prob", "update", "step")}


def words(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


@pytest.fixture(scope="module")
def trained(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> House:
    """A workspace that holds a run with a reference."""
    house = small_house(small_folder, tmp_path_factory.mktemp("grpo") / "home")
    result = house.run("run", "grpo", *small_grpo(house), "--kl", "0.01", "-q", "--name", "one")
    assert result.exit_code == 0, result.output
    return house


@pytest.mark.slow
def test_every_metric_is_recorded_where_it_belongs(trained: House) -> None:
    registry = registry_of(trained)
    found = registry.metrics(registry.find_run("one").uuid)
    assert found.keys() <= metric_table.BY_NAME.keys()
    for name in (EACH_UPDATE - {"entropy"}) | {"kl", "step_seconds", "update_seconds"}:
        assert [point.step for point in found[name]] == list(range(1, UPDATES + 1)), name
    for name in EACH_BATCH | (PHASES - {"step_seconds", "update_seconds"}):
        assert [point.step for point in found[name]] == [1, 5, 9], name
    assert all(math.isfinite(p.value) for points in found.values() for p in points)
    assert found["entropy"][0].value > 0
    assert found["kl"][0].value == pytest.approx(0, abs=1e-3)
    assert found["ratio_max"][0].value == pytest.approx(1, abs=1e-2)
    assert found["tokens"][0].value > 0


def test_rollouts_are_in_the_registry_with_problems_and_grades(trained: House) -> None:
    registry = registry_of(trained)
    run = registry.find_run("one")
    found = responses(registry, "one")
    assert len(found) == 36
    assert [(number, step) for number, step, _, _ in found[::12]] == [(0, 1), (1, 5), (2, 9)]
    for batch in (found[:12], found[12:24], found[24:]):
        assert len({problem for _, _, problem, _ in batch}) == 4
    assert {"strict", "r1_zero"} <= set(registry.rollouts(run.uuid, 5)[0].response.grades)
    assert len(registry.rollouts(run.uuid, 5)) == 12
    assert all(r.token_ids is None for r in registry.rollouts(run.uuid)), "text is what is kept"


@pytest.mark.slow
def test_a_run_descends_from_another_and_lists_like_one(trained: House) -> None:
    registry = registry_of(trained)
    result = trained.run(
        *("run", "grpo", "--init", "one", *small_grpo(trained)[2:], "--steps", "1", "-q"),
        *("--name", "two", "--keep-rollouts", "all"),
    )
    assert result.exit_code == 0, result.output
    child = registry.find_run("two")
    assert child.parent_uuid == registry.find_run("one").uuid
    assert child.kind == "grpo"
    assert child.id.startswith("grpo-")
    assert all(r.token_ids for r in registry.rollouts(child.uuid))
    unknown = trained.run("run", "grpo", "--init", "nobody")
    assert unknown.exit_code == 2
    assert "nobody" in unknown.output
    assert {row["kind"] for row in trained.json("ls")} == {"grpo"}
    for command in ("show", "diagnose"):
        assert trained.run(command, "two").exit_code == 0, command


@pytest.mark.slow
def test_on_policy_runs_compute_no_old_log_probs(house: House) -> None:
    options = (*small_grpo(house), "--set", "grpo.epochs_per_rollout=1", "-q", "--name", "on")
    result = house.run("run", "grpo", *options, "--train-batch", "12", "--seed", "0")
    assert result.exit_code == 0, result.output
    found = curves(registry_of(house), "on")
    assert [value for _, value in found["ratio_max"]] == [1.0] * 3
    assert "kl" not in found


@pytest.mark.slow
def test_seeds_make_a_matrix_of_different_runs(house: House) -> None:
    options = (*small_grpo(house), "--steps", "1", "--eval-limit", "1")
    outcomes = house.json("run", "grpo", *options, "-q", "--seed", "0,1")
    assert [outcome["status"] for outcome in outcomes] == ["finished", "finished"]
    registry = registry_of(house)
    first, second = (registry.find_run(outcome["run"]) for outcome in outcomes)
    assert first.group == second.group
    assert responses(registry, first.id) != responses(registry, second.id)


@pytest.mark.slow
def test_what_a_later_option_decides_is_in_the_config(house: House) -> None:
    options = (*small_grpo(house), "--steps", "1", "--eval-limit", "1", "--name", "set", "-q")
    more = ("--no-std-normalization", "--length-normalization", "constant", "--clip-high", "0.28")
    more += ("--loss", "grpo_no_clip", "--tis-cap", "2", "--mask-truncated", "--dynamic-sampling")
    more += ("--overlong-buffer", "4", "--no-skip-zero-advantage", "--rollout-temperature", "0.9")
    result = house.run("run", "grpo", *options, *more, "--reward", "answer=1,format=0.1,length=-1")
    assert result.exit_code == 0, result.output
    config = registry_of(house).find_run("set").config
    assert config["grpo"]["reward"] == {"answer": 1.0, "format": 0.1, "length": -1.0}
    assert config["grpo"]["std_normalization"] is False
    assert config["grpo"]["clip_high"] == 0.28
    assert config["grpo"]["tis_cap"] == 2
    assert config["rollout"]["temperature"] == 0.9
    assert "reward_format" in curves(registry_of(house), "set")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--reward", "answer"), "'' is no weight for answer"),
        (("--reward", "answer=nan"), "'nan' is no weight for answer"),
        (("--reward", "answers=1"), "'answers' is no part of a reward; give some of answer, "),
        (("--reward", "answer=1,answer=2"), "'answer' comes twice"),
        (("--reward", "answer=0"), "every part of the reward has weight 0"),
        (("--loss", "ppo"), "grpo.loss"),
        (("--train-batch", "5"), "rollout_batch 12 is not a multiple of train_batch 5"),
        (("--group-size", "5"), "a rollout batch of 12 is not whole groups of 5 responses"),
        (("--group-size", "1"), "use --group-size 2 or more, or --loss no_baseline"),
        (("--clip-low", "1.5"), "grpo.clip_low"),
        (("--kl", "-1"), "grpo.kl"),
        (("--train-grader", "exact"), "rollout.grader"),
        (("--train-grader", "question_only"), "so it may reward no answer at all"),
        (("--set", "train.steps=9"), "train.steps does not belong to a run of kind grpo"),
        (("--set", "ei.steps=9"), "ei.steps does not belong to a run of kind grpo"),
        (("--set", "train.gpus=2"), "a run of kind grpo trains in one process"),
    ],
)
def test_bad_input_ends_with_one_sentence(
    house: House, options: tuple[str, ...], says: str
) -> None:
    result = house.run("run", "grpo", *small_grpo(house), *options, "-q")
    assert result.exit_code == 2, result.output
    assert says in words(result.output)
    assert "Traceback" not in result.output


@pytest.mark.slow
def test_a_rollback_samples_again_what_undone_updates_have_said(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    update, broken = GRPO.update, []

    def breaks(self: GRPO, step: int) -> dict[str, float]:
        metrics = update(self, step)
        if step == 9 and not broken:
            broken.append(step)
            metrics["loss"] = math.nan
        return metrics

    monkeypatch.setattr(GRPO, "update", breaks)
    numbers = count_samplings(monkeypatch)
    # steps so small that nothing else raises an alarm
    options = ("--on-alarm", "rollback", "--lr", "1e-5", "--name", "back", "-q")
    result = house.run("run", "grpo", *small_grpo(house), *options)
    assert result.exit_code == 0, result.output
    registry = registry_of(house)
    (event,) = [e for e in registry.events(registry.find_run("back").uuid) if e.kind == "rollback"]
    assert (event.data["from"], event.data["to"]) == (9, 5)
    assert numbers == [0, 1, 2, 2], "batch 1 is taken up again in its middle, batch 2 is not"
    found = responses(registry, "back")
    assert [number for number, *_ in found] == [number for number in range(3) for _ in range(12)]
    steps = [step for step, _ in curves(registry, "back")["loss"]]
    assert steps == list(range(1, UPDATES + 1))
