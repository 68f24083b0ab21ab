"""Preflight is silent on healthy data: several sizes, seeds, prompts and supervised parts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.config.load import build_config
from core.data.load import DataSet, load_data, nested_subset
from core.data.problem import Problem
from core.models import BUILTIN_PATH, load_tokenizer
from core.prompts.template import load_prompt
from trainers.defaults import resolve_defaults
from trainers.observer import Severity
from trainers.preflight import CHECKS, Finding, PreflightInput, run_preflight
from trainers.tokenization import encode_example

GSM8K = Path(__file__).parents[3] / "shared" / "data" / "gsm8k"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer(BUILTIN_PATH)


@pytest.fixture(scope="module")
def builtin() -> DataSet:
    return load_data("builtin")


def doubts(
    tokenizer: Any,
    problems: Sequence[Problem],
    evaluated: Sequence[Problem],
    prompt: str = "think_answer",
    supervise: str = "response",
) -> list[Finding]:
    template = load_prompt(prompt)
    config = resolve_defaults(
        build_config({"train": {"supervise": supervise}}), template, "other", len(problems)
    )
    examples = [
        encode_example(
            p.id,
            template.prompt(p),
            template.target(p) or "",
            tokenizer,
            supervise=config.train.supervise,
        )
        for p in problems
    ]
    given = PreflightInput(config, problems, examples, template, tokenizer, None, 1024, evaluated)
    found = run_preflight(given).findings
    assert [finding.check for finding in found] == [check.name for check in CHECKS]
    return [finding for finding in found if finding.severity is not Severity.INFO]


@pytest.mark.parametrize("supervise", ["response", "closing", "answer"])
@pytest.mark.parametrize(("size", "seed"), [(4, 0), (8, 2), (32, 2), (256, 1)])
def test_builtin_data_raises_no_doubt(
    tokenizer: Any, builtin: DataSet, size: int, seed: int, supervise: str
) -> None:
    problems = nested_subset(builtin.split("train"), size, seed)
    assert doubts(tokenizer, problems, builtin.split("test"), supervise=supervise) == []


@pytest.mark.parametrize("prompt", ["question_only", "instruction"])
def test_other_prompts_raise_no_doubt(tokenizer: Any, builtin: DataSet, prompt: str) -> None:
    problems = nested_subset(builtin.split("train"), 64, 0)
    assert doubts(tokenizer, problems, builtin.split("test"), prompt=prompt) == []


@pytest.mark.slow
@pytest.mark.parametrize(("size", "seed"), [(8, 1), (64, 0), (1024, 4)])
def test_gsm8k_raises_no_doubt(tokenizer: Any, size: int, seed: int) -> None:
    if not GSM8K.is_dir():
        pytest.skip("the GSM8K files are not there")
    data = load_data(str(GSM8K))
    problems = nested_subset(data.split("train"), size, seed)
    assert doubts(tokenizer, problems, data.split("test")) == []
