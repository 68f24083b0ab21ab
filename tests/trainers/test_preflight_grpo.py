"""GRPO's preflight: what would teach nothing is found before anything is sampled."""

from typing import Any

import pytest

from core.config.load import build_config
from core.data.problem import Problem
from core.errors import UserError
from core.prompts.template import load_prompt
from tests.trainers.test_preflight import ORDER
from trainers.defaults import resolve_defaults
from trainers.observer import Severity
from trainers.policy import Policy
from trainers.preflight_grpo import GRPO_CHECKS
from trainers.preflight_report import Finding, PreflightInput
from trainers.preflight_rollouts import run_rollout_preflight
from trainers.tokenization import Example

PROBLEMS = [
    Problem(f"p{i}", f"What is {i} + 2?", str(i + 2), reasoning=f"{i} + 2 = {i + 2}.")
    for i in range(64)
]
INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR


def findings(
    policy: Policy,
    problems: list[Problem] | None = None,
    *,
    prompt: str = "think_answer",
    prompt_tokens: int = 100,
    **tree: Any,
) -> dict[str, Finding]:
    problems = PROBLEMS if problems is None else problems
    template = load_prompt(prompt)
    config = build_config({"kind": "grpo", **tree})
    config = resolve_defaults(config, template, "builtin", len(problems))
    row = Example("p0", (1,) * 300, (False,) * 300, prompt_tokens, 300)
    given = PreflightInput(config, problems, [row], template, policy.tokenizer, 512)
    report = run_rollout_preflight(given, GRPO_CHECKS)
    for finding, check in zip(report.findings, GRPO_CHECKS, strict=True):
        assert ORDER.index(finding.severity) <= ORDER.index(check.worst), finding
    return {finding.check: finding for finding in report.findings}


def test_a_healthy_run_has_only_good_news(policy: Policy) -> None:
    found = findings(policy)
    assert {f.severity for f in found.values()} == {INFO}, found
    assert "asks 16 questions 8 times; 1 update, on-policy" in found["groups"].message


def test_groups_of_one_teach_nothing_with_a_baseline(policy: Policy) -> None:
    alone = {"rollout": {"per_question": 1}}
    found = findings(policy, **alone)["groups"]
    assert found.severity is ERROR
    assert "--loss no_baseline" in found.message
    without = {"grpo": {"std_normalization": False, "loss": "reinforce_with_baseline"}}
    assert findings(policy, **alone, **without)["groups"].severity is ERROR
    fine = findings(policy, **alone, grpo={"loss": "no_baseline", "rollout_batch": 32})
    assert fine["groups"].severity is INFO


def test_groups_of_two_know_no_distance(policy: Policy) -> None:
    pairs = {"rollout": {"per_question": 2}}
    assert findings(policy, **pairs)["groups"].severity is WARNING
    plain = findings(policy, **pairs, grpo={"std_normalization": False, "rollout_batch": 32})
    assert plain["groups"].severity is INFO


def test_a_batch_must_be_whole_groups(policy: Policy) -> None:
    found = findings(policy, grpo={"rollout_batch": 20})["groups"]
    assert found.severity is ERROR
    assert "use --rollout-batch 16" in found.message


@pytest.mark.parametrize(
    ("count", "dynamic", "severity"),
    [(15, False, WARNING), (16, False, INFO), (16, True, WARNING), (17, True, INFO)],
)
def test_there_must_be_enough_questions(
    policy: Policy, count: int, dynamic: bool, severity: Severity
) -> None:
    found = findings(policy, PROBLEMS[:count], grpo={"dynamic_sampling": dynamic})
    assert found["supply"].severity is severity


def test_a_stop_string_must_fit_under_the_cap(policy: Policy) -> None:
    short = {"max_tokens": 3, "min_tokens": 0}
    found = findings(policy, rollout={**short, "stop": ["</answer>" * 4]})["stop"]
    assert found.severity is ERROR
    assert "--rollout-max-tokens" in found.message
    assert findings(policy, rollout={**short, "min_tokens": 3})["stop"].severity is WARNING
    assert "end with EOS or at" in findings(policy, rollout={"stop": []})["stop"].message


def test_a_grader_that_rewards_nothing_is_fatal(policy: Policy) -> None:
    found = findings(policy, rollout={"grader": "question_only"})["grader"]
    assert found.severity is ERROR
    assert "accepts 0.0% of 64 worked solutions" in found.message
    letters = findings(policy, rollout={"grader": "multiple_choice"})["grader"]
    assert letters.severity is ERROR
    assert "p0 shows none" in letters.message


def test_the_default_grader_fits_the_prompt(policy: Policy) -> None:
    found = findings(policy, prompt="question_only")["grader"]
    assert found.severity is INFO
    assert "the question_only grader rewards" in found.message
    assert "strict" in findings(policy)["grader"].message


def test_wrong_truths_are_counted(policy: Policy) -> None:
    spoilt = [*PROBLEMS[:60], *(Problem("x", "Q?", "4", target=" no") for _ in range(4))]
    found = findings(policy, spoilt)["grader"]
    assert found.severity is WARNING
    assert "93.8%" in found.message


def test_prompts_must_leave_room(policy: Policy) -> None:
    assert findings(policy, prompt_tokens=300)["context"].severity is WARNING
    assert findings(policy, prompt_tokens=512)["context"].severity is ERROR


def test_rewards_must_say_something(policy: Policy) -> None:
    only_format = findings(policy, grpo={"reward": {"format": 1}})["reward"]
    assert only_format.severity is WARNING
    buffer = findings(policy, grpo={"overlong_buffer": 300})["reward"]
    assert buffer.severity is ERROR
    assert "--overlong-buffer 64" in buffer.message


def test_a_nucleus_makes_later_ratios_rough(policy: Policy) -> None:
    nucleus = {"rollout": {"top_p": 0.9}}
    assert findings(policy, **nucleus)["sampling"].severity is INFO
    later = findings(policy, **nucleus, grpo={"train_batch": 64})
    assert later["sampling"].severity is WARNING


@pytest.mark.parametrize("name", ["epochs", "steps", "tokens", "batch_size"])
def test_settings_of_other_methods_are_refused(name: str) -> None:
    config = build_config({"kind": "grpo", "train": {name: 3}})
    with pytest.raises(UserError, match=rf"train\.{name} does not belong .*; use grpo\."):
        resolve_defaults(config, load_prompt("think_answer"), "builtin", 8)


def test_steps_that_were_asked_for_stay() -> None:
    template = load_prompt("think_answer")
    asked = build_config({"kind": "grpo", "grpo": {"steps": 200}})
    assert resolve_defaults(asked, template, "builtin", 8).grpo.steps == 200
    open_ = resolve_defaults(build_config({"kind": "grpo"}), template, "builtin", 8)
    assert open_.grpo.steps < 200
    other = resolve_defaults(build_config({"kind": "grpo"}), template, "elsewhere", 8)
    assert other.grpo.steps == 200


@pytest.mark.parametrize(
    ("asked", "batch", "steps"),
    [
        ({}, 128, 160),
        ({"rollout_batch": 256}, 256, 80),
        ({"train_batch": 64}, 256, 80),
        ({"rollout_batch": 64, "steps": 5}, 64, 5),
        ({"rollout_batch": 2**16}, 2**16, 1),
    ],
)
def test_the_built_in_model_gets_as_many_rollouts_in_batches_of_any_size(
    asked: dict[str, int], batch: int, steps: int
) -> None:
    config = build_config({"kind": "grpo", "grpo": asked})
    found = resolve_defaults(config, load_prompt("think_answer"), "builtin", 8)
    assert (found.grpo.rollout_batch, found.grpo.steps) == (batch, steps)
    assert (found.grpo.train_batch or batch) <= batch
