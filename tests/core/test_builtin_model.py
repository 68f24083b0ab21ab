"""The model in the package: small, runnable everywhere, better at the math than at the format."""

import json
from pathlib import Path

import pytest

from core.data.load import load_data
from core.engines.base import Sampling
from core.engines.select import build_engine, choose_engine
from core.models import BUILTIN_MODEL, resolve_model
from core.prompts.template import PromptTemplate, load_prompt
from core.responses.grade import GradedText, GraderName, GradingItem, grade_responses

ROOT = Path(__file__).parents[2]
PROBLEMS = 256


@pytest.fixture(scope="module")
def folder() -> Path:
    return resolve_model(BUILTIN_MODEL).path


def test_weights_take_less_than_15_megabytes(folder: Path) -> None:
    assert sum(file.stat().st_size for file in folder.iterdir()) < 15e6


def test_architecture_is_one_that_every_engine_runs(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["Qwen2ForCausalLM"]
    assert config["tie_word_embeddings"]


def test_digits_are_single_tokens_and_any_text_survives(folder: Path) -> None:
    from core.models import load_tokenizer

    tokenizer = load_tokenizer(folder)
    assert len(tokenizer("1234")["input_ids"]) == 4
    text = "Zoë 買った 12 🍎 \x00\t٣"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.slow
def test_it_can_do_the_math_when_asked_plainly_and_misses_the_format_when_asked_for_tags(
    folder: Path,
) -> None:
    plain = _answers(folder, load_prompt(str(ROOT / "examples" / "plain.prompt")), ())
    solved = sum(one.verdicts[GraderName.LENIENT].right for one in plain) / PROBLEMS
    assert 0.45 < solved < 0.85  # 55 to 75% on all 1,024; four standard errors of 256 beside that
    asked = _answers(folder, load_prompt("think_answer"), ("</answer>",))
    assert sum(one.verdicts[GraderName.R1_ZERO].right for one in asked) / PROBLEMS < 0.2
    assert sum(not one.closed for one in asked) / PROBLEMS > 0.2


def _answers(folder: Path, template: PromptTemplate, stop: tuple[str, ...]) -> list[GradedText]:
    problems = load_data("builtin").split("test")[:PROBLEMS]
    engine = build_engine(
        choose_engine("hf"), folder, dtype="float32", device="cpu", max_model_len=512
    )
    prompts = [template.prompt(problem) for problem in problems]
    completions = [one for (one,) in engine.generate(prompts, Sampling(max_tokens=200, stop=stop))]
    return grade_responses(
        [
            GradingItem(completion.text, problem.truth, completion.finish, template.placeholders)
            for completion, problem in zip(completions, problems, strict=True)
        ]
    )
