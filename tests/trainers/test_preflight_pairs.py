"""Preflight of pairs: what teaches nothing, or something else than was meant, is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.config.load import build_config
from core.data.pairs import PreferencePair
from core.data.problem import Problem
from core.prompts.template import load_prompt
from trainers.defaults import resolve_defaults
from trainers.dpo_recipe import encode_pairs
from trainers.observer import Severity
from trainers.policy import Policy
from trainers.preflight_pairs import PAIR_CHECKS, PairsInput, as_problems, run_pair_preflight
from trainers.preflight_report import Finding, PreflightInput

ORDER = [Severity.INFO, Severity.WARNING, Severity.ERROR]
TEMPLATE = load_prompt("think_answer")


def pair(number: int, **other: object) -> PreferencePair:
    made = PreferencePair(
        f"p{number}",
        TEMPLATE.render(f"What is {number} + 2?"),
        f" {number} + 2 </think> <answer> {number + 2} </answer>",
        f" {number} + 3 </think> <answer> {number + 3} </answer>",
        f"What is {number} + 2?",
        str(number + 2),
    )
    return replace(made, **other)


def findings(policy: Policy, *pairs: PreferencePair, **tree: object) -> dict[str, Finding]:
    tree = {"kind": "dpo", "evaluation": {"max_tokens": 200}, **tree}
    config = resolve_defaults(build_config(tree), TEMPLATE, "builtin", len(pairs))
    asked = (Problem("t0", "What is 40 + 2?", "42"),)
    every = PreflightInput(
        config,
        as_problems(pairs),
        encode_pairs(pairs, policy.tokenizer, config.train, Path("nowhere")),
        TEMPLATE,
        policy.tokenizer,
        512,
        evaluated=asked,
    )
    report = run_pair_preflight(PairsInput(pairs, every))
    for finding, check in zip(report.findings, PAIR_CHECKS, strict=True):
        assert ORDER.index(finding.severity) <= ORDER.index(check.worst), finding
    return {finding.check: finding for finding in report.findings}


def test_healthy_pairs_have_only_good_news(policy: Policy) -> None:
    found = findings(policy, *map(pair, range(5)))
    assert {f.severity for f in found.values()} == {Severity.INFO}, found
    assert "accepts what is chosen and refuses what is rejected" in found["preference"].message


def test_pairs_of_the_same_text_are_fatal_only_where_all_are(policy: Policy) -> None:
    same = pair(1, rejected=pair(1).chosen)
    some = findings(policy, pair(0), same)["contrast"]
    assert (some.severity, "in 1 of 2 pairs (first: p1)" in some.message) == (
        Severity.WARNING,
        True,
    )
    assert findings(policy, same)["contrast"].severity is Severity.ERROR


def test_opposite_pairs_and_copies_are_named(policy: Policy) -> None:
    turned = pair(0, chosen=pair(0).rejected, rejected=pair(0).chosen)
    assert "say the opposite" in findings(policy, pair(0), turned, pair(1))["contrast"].message
    copies = findings(policy, pair(0), pair(0), pair(0), pair(1))["contrast"]
    assert "2 of 4 pairs are copies" in copies.message


def test_the_runs_grader_looks_at_both_sides(policy: Policy) -> None:
    refused = findings(policy, pair(0), pair(1, truth="9"))["preference"]
    assert refused.severity is Severity.WARNING
    assert "r1_zero grader refuses 1 of 2 chosen responses (first: p1)" in refused.message
    also = pair(1, rejected=" so </think> <answer> 3 </answer>")
    accepted = findings(policy, pair(0), also)["preference"]
    assert "accepts 1 of 2 rejected responses (first: p1)" in accepted.message
    unknown = findings(policy, pair(0, truth=None))["preference"]
    assert (unknown.severity, "say no truth" in unknown.message) == (Severity.INFO, True)


def test_length_that_tells_the_sides_apart_is_named(policy: Policy) -> None:
    long = " one more time " * 20
    wordy = [pair(n, rejected=f"{long}</think> <answer> 1 </answer>") for n in range(4)]
    found = findings(policy, *wordy)["lengths"]
    assert found.severity is Severity.WARNING
    assert "the rejected one in 100%" in found.message
    assert "may only become shorter" in found.message
    mixed = [*wordy[:2], pair(7, chosen=f"{long}</think> <answer> 9 </answer>"), pair(8)]
    assert findings(policy, *mixed)["lengths"].severity is Severity.INFO


def test_responses_that_do_not_fit_are_named(policy: Policy) -> None:
    found = findings(policy, *map(pair, range(3)), train={"max_length": 12})
    assert found["supervision"].severity is Severity.ERROR
    assert "6 of 6 examples are cut at 12 tokens" in found["length"].message


def test_questions_of_the_evaluation_are_named(policy: Policy) -> None:
    asked = pair(40)
    assert "are also asked in the evaluation" in findings(policy, asked)["leakage"].message
    unsaid = pair(40, question=None)
    assert findings(policy, unsaid)["leakage"].severity is Severity.WARNING


def test_a_response_that_was_cut_gets_no_eos(policy: Policy) -> None:
    cut = pair(0, rejected=" 0 + 3 and then", rejected_truncated=True)
    end = policy.tokenizer.eos_token_id
    config = build_config({"kind": "dpo"})
    chosen, rejected = encode_pairs([cut], policy.tokenizer, config.train, Path("nowhere"))
    assert chosen.token_ids[-1] == end
    assert chosen.supervised[-1]
    assert end not in rejected.token_ids
    assert findings(policy, cut, pair(1))["eos"].severity is Severity.INFO


@pytest.mark.parametrize("supervise_eos", [True, False])
def test_eos_is_appended_as_supervised_fine_tuning_does_it(
    policy: Policy, supervise_eos: bool
) -> None:
    config = build_config({"kind": "dpo", "train": {"supervise_eos": supervise_eos}})
    for example in encode_pairs([pair(0)], policy.tokenizer, config.train, Path("nowhere")):
        assert (example.token_ids[-1] == policy.tokenizer.eos_token_id) is supervise_eos


@pytest.mark.parametrize(
    ("model", "asked", "beta", "lr"),
    [
        ("builtin", {}, 1.0, 2e-4),
        ("builtin", {"loss": "ipo"}, 1.0, 2e-4),
        ("builtin", {"beta": 0.1}, 0.1, 2e-4),
        ("elsewhere", {}, 0.1, 1e-6),
    ],
)
def test_the_built_in_model_is_tied_closer_to_its_reference(
    model: str, asked: dict[str, object], beta: float, lr: float
) -> None:
    found = resolve_defaults(build_config({"kind": "dpo", "dpo": asked}), TEMPLATE, model, 8)
    assert (found.dpo.beta, found.train.lr) == (beta, lr)


def test_other_kinds_of_runs_keep_no_tie_of_their_own() -> None:
    found = resolve_defaults(build_config({"kind": "sft"}), TEMPLATE, "builtin", 8)
    assert found.dpo.beta == 0.1
