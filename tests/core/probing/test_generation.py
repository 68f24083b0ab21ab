"""Responses asked again: the beginning stays, a cap only cuts, closing goes on from the text."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.engines.base import Completion, FinishReason, InferenceEngine, Sampling
from core.engines.select import build_engine, choose_engine
from core.models import BUILTIN_PATH, encode_prompt, load_tokenizer
from core.probing.generation import (
    Asker,
    ProbeTarget,
    continued_ids,
    finish_answers,
    regenerate,
)
from core.responses.grade import Placeholders
from tests.models import CORPUS, write_model
from tests.scripted import ScriptedEngine

ENGINES = ["hf", pytest.param("vllm", marks=[pytest.mark.vllm, pytest.mark.slow])]
PROMPTS = [f"Question {i}: {CORPUS[i % 4]}" for i in range(6)]
GREEDY = Sampling(max_tokens=10, stop=())
SAMPLED = Sampling(temperature=0.8, max_tokens=10, stop=(), seed=3, n=2)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("probed"))


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, model_dir: Path) -> Iterator[InferenceEngine]:
    choice = choose_engine(request.param)
    made = build_engine(choice, model_dir, dtype="float32", device="cpu", max_model_len=256)
    yield made
    made.close()


@pytest.fixture
def asker(engine: InferenceEngine, model_dir: Path) -> Asker:
    return Asker(engine, load_tokenizer(model_dir), Placeholders(), 2.0)


def targets(asker: Asker, groups: list[list[Completion]]) -> list[ProbeTarget]:
    return [
        ProbeTarget(
            problem_id=f"p{place}",
            sample=sample,
            question=PROMPTS[place],
            truth="4",
            place=place,
            prompt_ids=tuple(encode_prompt(asker.tokenizer, PROMPTS[place])),
            text=completion.text,
            finish=completion.finish,
        )
        for place, group in enumerate(groups)
        for sample, completion in enumerate(group)
    ]


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_a_longer_response_begins_with_the_shorter_one(asker: Asker, sampling: Sampling) -> None:
    stored = targets(asker, asker.engine.generate(PROMPTS, sampling))
    # not all of them, and in another order: random numbers go with the problem, not with the place
    some = [t for t in reversed(stored) if t.finish is FinishReason.LENGTH][1:]
    assert len(some) >= 4
    found = regenerate(asker, some, [30], sampling)[30]
    assert [r.same_prefix for r in found] == [True] * len(some)
    assert [(r.problem_id, r.sample) for r in found] == [(t.problem_id, t.sample) for t in some]
    assert all(len(r.text or "") > len(t.text) for r, t in zip(found, some, strict=True))


def test_a_smaller_cap_is_what_the_engine_would_have_given(asker: Asker) -> None:
    stored = targets(asker, asker.engine.generate(PROMPTS, GREEDY))
    found = regenerate(asker, stored, [14, 40], GREEDY)[14]
    real = asker.engine.generate(PROMPTS, replace(GREEDY, max_tokens=14))
    assert [(r.text, r.tokens, r.finish) for r in found] == [
        (c.text, len(c.token_ids), c.finish) for (c,) in real
    ]


def test_another_text_is_noticed(asker: Asker) -> None:
    stored = targets(asker, asker.engine.generate(PROMPTS, GREEDY))
    (found,) = regenerate(asker, [replace(stored[0], text="nobody wrote this")], [20], GREEDY)[20]
    assert found.diverged


def test_closing_goes_on_from_prompt_response_and_tags(asker: Asker) -> None:
    (target,) = targets(asker, asker.engine.generate(PROMPTS[:1], GREEDY))
    short = replace(GREEDY, max_tokens=5)
    (found,) = finish_answers(asker, [target], short)
    assert found.appended.endswith("<answer>")
    assert (found.text or "").startswith(target.text + found.appended)
    ids = continued_ids(asker.tokenizer, target)
    assert asker.tokenizer.decode(ids) == PROMPTS[0] + target.text + found.appended
    assert found.tokens <= 5


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer(BUILTIN_PATH)


Told = Callable[[str, FinishReason, tuple[str, FinishReason]], Any]


@pytest.fixture
def told(tokenizer: Any) -> Told:
    """Finish one stored response with an engine that says exactly this."""

    def tell(text: str, finish: FinishReason, answer: tuple[str, FinishReason]) -> Any:
        engine = ScriptedEngine(tokenizer, lambda prompt: answer)
        asker = Asker(engine, tokenizer, Placeholders(), 2.0)
        ids = tuple(encode_prompt(tokenizer, "How many?"))
        target = ProbeTarget("p", 0, "What is 2 + 2?", "4", 0, ids, text, finish)
        (found,) = finish_answers(asker, [target], Sampling(max_tokens=64))
        return found, engine.asked

    return tell


CAPPED, EOS, STOP = FinishReason.LENGTH, FinishReason.EOS, FinishReason.STOP_STRING


def test_a_known_answer_is_right_once_it_is_closed(told: Told) -> None:
    found, asked = told("2 + 2 = 4.", EOS, (" 4 </answer>", STOP))
    assert found.text == "2 + 2 = 4. </think> <answer> 4 </answer>"
    assert [text for text, _ in asked] == ["How many?2 + 2 = 4. </think> <answer>"]
    assert found.closed
    assert {name for name, g in found.grades.items() if g.right} == {
        "r1_zero",
        "strict",
        "lenient",
        "diagnostic",
    }


def test_a_model_that_never_closes_is_closed_for(told: Told) -> None:
    found, _ = told("2 + 2 = 4.", CAPPED, (" 4", EOS))
    assert found.text == "2 + 2 = 4. </think> <answer> 4 </answer>"
    assert found.grades["r1_zero"].right
    assert found.finish == "eos"


def test_an_answer_that_it_ended_itself_is_not_asked_for_again(told: Told) -> None:
    found, asked = told("so </think> <answer> 4", EOS, ("never said", STOP))
    assert (found.text, found.tokens) == ("so </think> <answer> 4 </answer>", 0)
    assert asked == []
    assert found.grades["r1_zero"].right


def test_an_answer_that_was_cut_goes_on_without_help(told: Told) -> None:
    found, asked = told("so </think> <answer> 4", CAPPED, (" </answer>", STOP))
    assert (found.text, found.appended) == ("so </think> <answer> 4 </answer>", "")
    assert len(asked) == 1


@pytest.mark.slow
def test_an_answer_that_does_not_end_in_time_stays_unclosed_and_wrong(told: Told) -> None:
    found, _ = told("so", CAPPED, (" 4" * 80, EOS))
    assert (found.closed, found.tokens, found.finish) == (False, 64, "length")
    assert found.grades["r1_zero"].failure == "truncated_answer"
