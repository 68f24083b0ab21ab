"""Preflight: each thing that would ruin a run is found, named, and fatal only where it must be."""

import pytest

from core.config.load import build_config
from core.config.schema import RunConfig
from core.data.problem import Problem
from core.prompts.template import load_prompt
from trainers.defaults import resolve_defaults
from trainers.observer import Severity
from trainers.policy import Policy
from trainers.preflight import CHECKS, Finding, PreflightInput, run_preflight
from trainers.tokenization import encode_example

ORDER = [Severity.INFO, Severity.WARNING, Severity.ERROR]
PROBLEMS = [
    Problem("p0", "What is 2 + 2?", "4", reasoning="2 + 2 = 4."),
    Problem("p1", "What is 3 x 5?", "15", reasoning="3 x 5 = 15."),
]


def findings(policy: Policy, problems: list[Problem], **tree: object) -> dict[str, Finding]:
    template = load_prompt("think_answer")
    config: RunConfig = resolve_defaults(build_config(tree), template, "builtin", len(problems))
    train = config.train
    examples = [
        encode_example(
            p.id,
            template.prompt(p),
            template.target(p) or "",
            policy.tokenizer,
            supervise=train.supervise,
            supervise_eos=train.supervise_eos,
            max_length=train.max_length,
        )
        for p in problems
    ]
    report = run_preflight(
        PreflightInput(config, problems, examples, template, policy.tokenizer, 512)
    )
    for finding, check in zip(report.findings, CHECKS, strict=True):
        assert ORDER.index(finding.severity) <= ORDER.index(check.worst), finding
    return {finding.check: finding for finding in report.findings}


def test_a_healthy_run_has_only_good_news(policy: Policy) -> None:
    found = findings(policy, PROBLEMS, evaluation={"max_tokens": 128})
    assert {f.severity for f in found.values()} == {Severity.INFO}, found
    assert "accepts all 2 training targets" in found["targets"].message


def test_examples_without_supervision_are_fatal(policy: Policy) -> None:
    found = findings(policy, PROBLEMS, train={"max_length": 10})
    assert found["supervision"].severity is Severity.ERROR
    assert "p0" in found["supervision"].message


def test_a_target_without_the_supervised_tag_is_fatal(policy: Policy) -> None:
    untagged = Problem("p2", "Q", "4", prompt="Q <think>", target=" so it is 4")
    found = findings(policy, [*PROBLEMS, untagged], train={"supervise": "answer"})["supervision"]
    assert found.severity is Severity.ERROR
    assert "1 of 3 examples have no supervised token besides EOS (first: p2)" in found.message


def test_truncation_is_counted(policy: Policy) -> None:
    length = findings(policy, PROBLEMS, train={"max_length": 120})["length"]
    assert length.severity is Severity.WARNING
    assert "2 of 2 examples are cut at 120 tokens" in length.message


def test_targets_that_the_grader_refuses_are_shown(policy: Policy) -> None:
    wrong = Problem(
        "p2", "What is 1 + 1?", "2", prompt="Q <think>", target=" x </think> <answer> 3 </answer>"
    )
    found = findings(policy, [*PROBLEMS, wrong])["targets"]
    assert found.severity is Severity.WARNING
    assert "66.7%" in found.message
    assert "p2" in found.message


def test_targets_that_never_close_are_shown(policy: Policy) -> None:
    open_ = Problem("p2", "Q", "2", prompt="Q <think>", target=" x </think> <answer> 2")
    assert findings(policy, [open_])["stop"].severity is Severity.WARNING


def test_a_cap_below_the_targets_is_shown(policy: Policy) -> None:
    cap = findings(policy, PROBLEMS, evaluation={"max_tokens": 5})["cap"]
    assert cap.severity is Severity.WARNING
    assert "2 of 2 targets are longer than the response cap of 5" in cap.message


def test_training_without_eos_is_shown(policy: Policy) -> None:
    found = findings(policy, PROBLEMS, train={"supervise_eos": False})
    assert found["eos"].severity is Severity.WARNING


def test_foreign_prompts_are_shown(policy: Policy) -> None:
    foreign = Problem("p2", "Q", "4", prompt="Q\nA:", target=" x </think> <answer> 4 </answer>")
    assert findings(policy, [foreign])["prompt"].severity is Severity.WARNING


@pytest.mark.parametrize("supervise", ["response", "answer"])
def test_the_decoded_example_shows_exactly_what_is_learned(policy: Policy, supervise: str) -> None:
    template = load_prompt("think_answer")
    config = build_config({"train": {"supervise": supervise}})
    example = encode_example(
        "p",
        template.prompt(PROBLEMS[0]),
        template.target(PROBLEMS[0]) or "",
        policy.tokenizer,
        supervise=config.train.supervise,
    )
    report = run_preflight(
        PreflightInput(
            resolve_defaults(config, template, "builtin", 1),
            PROBLEMS[:1],
            [example],
            template,
            policy.tokenizer,
            None,
        )
    )
    assert report.example is not None
    shown = report.example.context + report.example.supervised
    assert shown.startswith(template.prompt(PROBLEMS[0])[:40])
    assert report.example.supervised.endswith(policy.tokenizer.eos_token)
    assert ("2 + 2" in report.example.supervised) == (supervise == "response")


@pytest.mark.parametrize(
    ("answers", "severity"),
    [
        (["7"] * 3, Severity.INFO),
        (["7"] * 4, Severity.WARNING),
        (["7"] * 4 + list("12345689abcdefgh"), Severity.INFO),
        (["7"] * 5 + list("12345689abcdefgh"), Severity.WARNING),
        (["yes"] * 30 + ["no"] * 10, Severity.INFO),
        (["yes"] * 37 + ["no"] * 3, Severity.WARNING),
    ],
    ids=["few", "all", "a fifth", "more than a fifth", "yes and no", "hardly a no"],
)
def test_one_answer_in_a_large_share_is_shown(
    policy: Policy, answers: list[str], severity: Severity
) -> None:
    problems = [Problem(f"p{i}", f"Question {i}?", a, reasoning="r") for i, a in enumerate(answers)]
    assert findings(policy, problems)["answers"].severity is severity


def test_several_solutions_of_one_question_are_no_copies(policy: Policy) -> None:
    problems = [Problem(f"p{i}", "What is 2 + 2?", "4", reasoning=f"way {i}") for i in range(4)]
    found = findings(policy, problems)["questions"]
    assert (found.severity, found.message) == (Severity.INFO, "4 examples ask 1 questions")


@pytest.mark.parametrize(
    ("target", "closes"),
    [
        (r" so \boxed{\frac{1}{2}} </think> <answer> 2 </answer>", True),
        (r" so \boxed{\{2\}} </think> <answer> 2 </answer>", True),
        (r" so \boxed{\frac{1}{2} </think> <answer> 2 </answer>", False),
        (" <think> a </think> b </think> <answer> 2 </answer>", True),
        (" <think> a </think> <answer> 2 </answer>", False),
        (" a </think> <answer> 1 </answer> <answer> 2", False),
    ],
)
def test_what_a_target_leaves_open_is_found(policy: Policy, target: str, closes: bool) -> None:
    problem = Problem("p", "Q", "2", prompt="Q\nAssistant: <think>", target=target)
    found = findings(policy, [problem])["closing"]
    assert (found.severity is Severity.INFO) is closes, found


def test_a_stop_string_that_the_tokenizer_swallows_is_shown(policy: Policy) -> None:
    class Swallowing:
        def __getattr__(self, name: str) -> object:
            return getattr(policy.tokenizer, name)

        def decode(self, ids: list[int]) -> str:
            return policy.tokenizer.decode(ids).replace("</answer>", "< / answer >")

        def __call__(self, *arguments: object, **options: object) -> object:
            return policy.tokenizer(*arguments, **options)

    changed = Policy(policy.model, Swallowing(), policy.device, policy.precision)
    stop = findings(changed, PROBLEMS)["stop"]
    assert stop.severity is Severity.WARNING
    assert "gives 2 targets back without their stop string" in stop.message
