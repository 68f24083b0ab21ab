"""The train, dev and test splits of the built-in data, and the check that nothing leaks."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from random import Random

from core.data.problem import Problem
from core.data.synthetic.chains import ChainGrammar, build_chain
from core.data.synthetic.forms import Form, build_form
from core.data.synthetic.held_out_forms import TEST_FORMS
from core.data.synthetic.measure_forms import MEASURE_FORMS
from core.data.synthetic.story import Step, Story
from core.data.synthetic.train_forms import TRAIN_FORMS
from core.data.synthetic.vocabulary import TEST_WORLD, TRAIN_WORLD
from core.data.synthetic.wordings import TEST_WORDINGS, TRAIN_WORDINGS

BUILTIN_SEED = 20240229


class Split(StrEnum):
    """The parts of the built-in data: dev and train share templates, the test splits have theirs.

    Their order is the order in which they are made.
    """

    TRAIN = "train"
    DEV = "dev"
    TEST = "test"
    TEST_HARD = "test-hard"


SPLIT_SIZES = {Split.TRAIN: 8192, Split.DEV: 512, Split.TEST: 1024, Split.TEST_HARD: 512}


@dataclass(frozen=True, slots=True)
class _Mixture:
    """Where the problems of a split come from."""

    chains: ChainGrammar
    forms: tuple[Form, ...]
    chain_share: float


_TRAIN_MIXTURE = _Mixture(
    ChainGrammar(
        TRAIN_WORLD,
        TRAIN_WORDINGS,
        step_weights=(0.1, 0.22, 0.26, 0.2, 0.12, 0.1),
        distractor_weights=(0.7, 0.3),
    ),
    TRAIN_FORMS + MEASURE_FORMS,
    chain_share=0.65,
)
_TEST_MIXTURE = _Mixture(
    ChainGrammar(
        TEST_WORLD,
        TEST_WORDINGS,
        step_weights=(0.14, 0.28, 0.28, 0.18, 0.08, 0.04),
        distractor_weights=(0.7, 0.3),
    ),
    TEST_FORMS,
    chain_share=0.92,
)
_HARD_MIXTURE = _Mixture(
    ChainGrammar(
        TEST_WORLD,
        TEST_WORDINGS,
        step_weights=(0.0, 0.0, 0.1, 0.25, 0.3, 0.35),
        distractor_weights=(0.2, 0.4, 0.4),
    ),
    TEST_FORMS,
    chain_share=0.75,
)
_MIXTURES = {
    Split.TRAIN: _TRAIN_MIXTURE,
    Split.DEV: _TRAIN_MIXTURE,
    Split.TEST: _TEST_MIXTURE,
    Split.TEST_HARD: _HARD_MIXTURE,
}


def generate_split(split: Split, *, seed: int = BUILTIN_SEED) -> list[Problem]:
    """All problems of one split, the same for the same seed on every machine.

    Questions are unique over the splits of one seed.
    """
    return list(_splits(seed)[split])


def make_problem(rng: Random, split: Split) -> Story:
    """A new problem of the kind a split is made of."""
    mixture = _MIXTURES[split]
    if rng.random() < mixture.chain_share:
        return build_chain(rng, mixture.chains)
    return build_form(rng, mixture.forms, mixture.chains.world)


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
    count = 0
    while count < SPLIT_SIZES[split]:
        story = make_problem(rng, split)
        key = question_hash(story.question)
        if key in seen:
            continue
        seen.add(key)
        yield Problem(
            id=f"builtin-{split.value}-{count:05d}",
            question=story.question,
            truth=str(story.steps[-1].result),
            reasoning=reasoning_text(story.steps),
            template=story.template,
            steps=len(story.steps),
            difficulty=story.difficulty,
        )
        count += 1


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[a-z0-9%]+", text.lower()))
