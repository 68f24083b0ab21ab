"""Preflight of a run that learns from its own responses: grader, end, and room."""

from dataclasses import replace

import pytest

from core.config.load import build_config
from core.config.schema import RunConfig
from core.data.problem import Problem
from core.prompts.template import load_prompt
from trainers.defaults import resolve_defaults
from trainers.observer import Severity
from trainers.policy import Policy
from trainers.preflight_ei import EI_CHECKS
from trainers.preflight_report import Finding, PreflightInput
from trainers.preflight_rollouts import run_rollout_preflight
from trainers.tokenization import Example, encode_example

ORDER = [Severity.INFO, Severity.WARNING, Severity.ERROR]
PROBLEMS = [
    Problem("p0", "What is 2 + 2?", "4", reasoning="2 + 2 = 4."),
    Problem("p1", "What is 3 x 5?", "15", reasoning="3 x 5 = 15."),
    Problem("p2", "What is 3 x 6?", "18"),
]


def findings(
    policy: Policy,
    problems: list[Problem],
    template: str = "think_answer",
    prompt_length: int = 40,
    **tree: object,
) -> dict[str, Finding]:
    prompt = load_prompt(template)
    config: RunConfig = resolve_defaults(
        build_config({"kind": "ei", **tree}), prompt, "builtin", len(problems)
    )
    row: Example = encode_example("p0", "Q" * prompt_length, "A", policy.tokenizer)
    row = replace(row, prompt_length=prompt_length)
    given = PreflightInput(config, problems, [row], prompt, policy.tokenizer, 512)
    report = run_rollout_preflight(given, EI_CHECKS)
    for finding, check in zip(report.findings, EI_CHECKS, strict=True):
        assert ORDER.index(finding.severity) <= ORDER.index(check.worst), finding
    return {finding.check: finding for finding in report.findings}


def test_a_healthy_run_has_only_good_news(policy: Policy) -> None:
    found = findings(policy, PROBLEMS)
    assert {f.severity for f in found.values()} == {Severity.INFO}, found
    assert "accepts 100.0% of 2 worked solutions" in found["grader"].message
    assert "<|end|> behind their stop string" in found["eos"].message


@pytest.mark.parametrize(
    ("tree", "template", "severity", "text"),
    [
        (
            {"rollout": {"grader": "strict"}},
            "question_only",
            Severity.ERROR,
            "may reward no answer at all",
        ),
        ({"rollout": {"grader": "question_only"}}, "question_only", Severity.INFO, "100.0%"),
    ],
)
def test_a_grader_that_can_call_nothing_right_is_found(
    policy: Policy, tree: dict[str, object], template: str, severity: Severity, text: str
) -> None:
    found = findings(policy, PROBLEMS, template, **tree)["grader"]
    assert found.severity is severity
    assert text in found.message


def test_without_worked_solutions_the_grader_is_only_named(policy: Policy) -> None:
    found = findings(policy, PROBLEMS[2:])["grader"]
    assert found.severity is Severity.INFO
    assert "there is no worked solution to try it on" in found.message


def test_responses_that_do_not_fit_are_announced(policy: Policy) -> None:
    beyond = findings(policy, PROBLEMS, prompt_length=300)["context"]
    assert beyond.severity is Severity.WARNING
    assert "more than the model's 512 positions" in beyond.message
    too_long = findings(policy, PROBLEMS, train={"max_length": 200})["room"]
    assert "longer than 200 are not learned from" in too_long.message


def test_an_end_that_is_not_trained_is_announced(policy: Policy) -> None:
    found = findings(policy, PROBLEMS, train={"supervise_eos": False})["eos"]
    assert found.severity is Severity.WARNING
