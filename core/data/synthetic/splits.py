"""The train, dev and test splits of the built-in data, and the check that nothing leaks."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from random import Random

from core.data.problem import Problem
from core.data.synthetic.chains import ChainGrammar, build_chain
from core.data.synthetic.forms import Form, build_form
from core.data.synthetic.held_out_forms import TEST_FORMS
from core.data.synthetic.story import Draft, Step
from core.data.synthetic.train_forms import TRAIN_FORMS
from core.data.synthetic.vocabulary import TEST_WORLD, TRAIN_WORLD
from core.data.synthetic.wordings import TEST_WORDINGS, TRAIN_WORDINGS

BUILTIN_SEED = 20240229


class Split(StrEnum):
    """The parts of the built-in data: dev and train share templates, test has its own."""

    TRAIN = "train"
    DEV = "dev"
    TEST = "test"


SPLIT_SIZES = {Split.TRAIN: 8192, Split.DEV: 512, Split.TEST: 1024}

_TRAIN_GRAMMAR = ChainGrammar(
    TRAIN_WORLD,
    TRAIN_WORDINGS,
    step_weights=(0.08, 0.2, 0.26, 0.22, 0.14, 0.1),
    distractor_rate=0.3,
)
_TEST_GRAMMAR = ChainGrammar(
    TEST_WORLD, TEST_WORDINGS, step_weights=(0.12, 0.26, 0.28, 0.2, 0.1, 0.04), distractor_rate=0.3
)
_TRAIN_CHAIN_SHARE = 0.65
_TEST_CHAIN_SHARE = 0.94


def generate_split(split: Split, *, seed: int = BUILTIN_SEED) -> list[Problem]:
    """All problems of one split, the same for the same seed on every machine.

    Questions are unique over the splits of one seed.
    """
    return list(_splits(seed)[split])


def train_problem(rng: Random) -> tuple[str, str, tuple[Step, ...]]:
    """A problem of the train world as (template id, question, steps)."""
    return _sample(rng, _TRAIN_GRAMMAR, TRAIN_FORMS, _TRAIN_CHAIN_SHARE)


def held_out_problem(rng: Random) -> tuple[str, str, tuple[Step, ...]]:
    """A problem of the test world as (template id, question, steps)."""
    return _sample(rng, _TEST_GRAMMAR, TEST_FORMS, _TEST_CHAIN_SHARE)


def reasoning_text(steps: Iterable[Step]) -> str:
    """The worked solution in the style of the training targets (never used in pretraining)."""
    parts: list[str] = []
    result = 0
    for number, step in enumerate(steps):
        lead = "First we need the" if number == 0 else "Next we need the"
        parts.append(f"{lead} {step.label}: {step.expression} = {step.result}.")
        result = step.result
    return " ".join([*parts, f"So the result is {result}."])


def question_hash(question: str) -> str:
    """Hash of a question that ignores case, punctuation and spacing."""
    return hashlib.blake2b(" ".join(_words(question)).encode(), digest_size=8).hexdigest()


def leakage(training_texts: Iterable[str], problems: Iterable[Problem]) -> list[str]:
    """Ids of the problems whose question stands, up to case and punctuation, in a training text."""
    width = 6
    wanted: dict[tuple[str, ...], list[tuple[tuple[str, ...], str]]] = {}
    for problem in problems:
        words = _words(problem.question)
        wanted.setdefault(words[:width], []).append((words, problem.id))
    found: set[str] = set()
    for text in training_texts:
        words = _words(text)
        for start in range(len(words)):
            for question, identity in wanted.get(words[start : start + width], ()):
                if words[start : start + len(question)] == question:
                    found.add(identity)
    return sorted(found)


@lru_cache(maxsize=4)
def _splits(seed: int) -> dict[Split, tuple[Problem, ...]]:
    seen: set[str] = set()
    return {split: tuple(_generate(split, seed, seen)) for split in Split}


def _generate(split: Split, seed: int, seen: set[str]) -> Iterator[Problem]:
    rng = Random(f"{split.value}:{seed}")
    make = held_out_problem if split is Split.TEST else train_problem
    count = 0
    while count < SPLIT_SIZES[split]:
        template, question, steps = make(rng)
        key = question_hash(question)
        if key in seen:
            continue
        seen.add(key)
        yield Problem(
            id=f"builtin-{split.value}-{count:05d}",
            question=question,
            truth=str(steps[-1].result),
            reasoning=reasoning_text(steps),
            template=template,
            steps=len(steps),
        )
        count += 1


def _sample(
    rng: Random, grammar: ChainGrammar, forms: tuple[Form, ...], chain_share: float
) -> tuple[str, str, tuple[Step, ...]]:
    template, draft = (
        build_chain(rng, grammar)
        if rng.random() < chain_share
        else build_form(rng, forms, grammar.world)
    )
    return template, _question(draft), tuple(draft.steps)


def _question(draft: Draft) -> str:
    return " ".join(draft.sentences)


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[a-z0-9%]+", text.lower()))
