"""What engines say of the tokens they sampled is what the policy says of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.data.load import load_data
from core.engines.base import Sampling, TokenPrompt
from core.engines.select import build_engine, choose_engine
from core.models import BUILTIN_MODEL, encode_prompt, end_token_ids, load_tokenizer, resolve_model
from core.prompts.template import load_prompt
from tests.models import CORPUS, write_model
from trainers.logit_rules import LogitRules, rules_of
from trainers.policy import Policy, load_policy
from trainers.tokenization import Example

SAMPLING = Sampling(
    temperature=0.7, top_p=0.9, min_tokens=4, max_tokens=48, n=6, seed=5, logprobs=True
)
ENGINES = ["hf", pytest.param("vllm", marks=[pytest.mark.vllm, pytest.mark.slow])]


@dataclass(frozen=True)
class Sampled:
    """Responses of one engine to a few prompts, and the policy with its weights."""

    policy: Policy
    examples: tuple[Example, ...]
    log_probs: Tensor
    rules: LogitRules

    def gaps(self, rules: LogitRules) -> Tensor:
        found = self.policy.log_probs(self.examples, rules).log_probs
        return (found - self.log_probs).abs()


def sample(engine_name: str, folder: Path, prompts: Sequence[str]) -> Sampled:
    tokenizer = load_tokenizer(folder)
    asked = [TokenPrompt(tuple(encode_prompt(tokenizer, prompt))) for prompt in prompts]
    choice = choose_engine(engine_name)
    engine = build_engine(choice, folder, dtype="float32", device="cpu", max_model_len=512)
    try:
        groups = engine.generate(asked, SAMPLING)
    finally:
        engine.close()
    examples, values = [], []
    for index, (prompt, group) in enumerate(zip(asked, groups, strict=True)):
        for completion in group:
            ids, start = (*prompt.ids, *completion.token_ids), len(prompt.ids)
            marks = tuple(place >= start for place in range(len(ids)))
            examples.append(Example(f"p{index}", ids, marks, start, len(ids)))
            assert completion.logprobs is not None
            values += completion.logprobs
    return Sampled(
        load_policy(folder, device="cpu", precision="float32"),
        tuple(examples),
        torch.tensor(values),
        rules_of(SAMPLING, end_token_ids(folder, tokenizer)),
    )


@pytest.fixture(scope="module", params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def builtin(engine_name: str) -> Sampled:
    template, data = load_prompt("think_answer"), load_data("builtin")
    prompts = [template.prompt(problem) for problem in data.split("test")[:8]]
    return sample(engine_name, resolve_model(BUILTIN_MODEL).path, prompts)


@pytest.fixture(scope="module")
def ending(engine_name: str, tmp_path_factory: pytest.TempPathFactory) -> Sampled:
    """A model that would end its responses early more often than not."""
    folder = tmp_path_factory.mktemp("ending") / "model"
    write_model(folder, end_ids=tuple(range(0, 300, 3)))
    return sample(engine_name, folder, CORPUS)


@pytest.mark.slow
def test_the_builtin_model_scores_its_rollouts_as_the_engine_did(builtin: Sampled) -> None:
    gaps = builtin.gaps(builtin.rules)
    assert len(gaps) > 500
    # vLLM reads this many tokens of prompts in more than one step
    assert sum(example.prompt_length for example in builtin.examples) > 4096
    assert gaps.max() < 1e-4


def test_a_model_scores_early_tokens_as_the_engine_did(ending: Sampled) -> None:
    gaps = ending.gaps(ending.rules)
    assert min(len(e.token_ids) - e.prompt_length for e in ending.examples) == 5
    assert gaps.max() < 1e-4


@pytest.mark.parametrize("forgotten", ["temperature", "top_p", "min_tokens"])
def test_every_rule_is_needed(ending: Sampled, forgotten: str) -> None:
    without = replace(ending.rules, **{forgotten: getattr(LogitRules(), forgotten)})
    assert ending.gaps(without).max() > 0.1
