"""Pretraining text: train-world problems answered in every style but that of the training targets.

Most documents are plain `Question:`/`Answer:` pairs. A smaller share is answered in formats a model
picks up in the wild (boxed, `####`, half-right tags), partly under the built-in prompt itself. That
share is why the built-in base can do much of the arithmetic and mostly misses the format; it is
there by design, and the model card says so.
"""

import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from random import Random

from core.data.synthetic.splits import (
    BUILTIN_SEED,
    Split,
    generate_split,
    question_hash,
    train_problem,
)
from core.data.synthetic.story import Step

DRILL_SHARE = 0.12
TAGGED_SHARE = 0.05
PROMPTED_SHARE = 0.09
_HABIT = 0.55


def pretraining_documents(seed: int, *, start: int = 0, count: int | None = None) -> Iterator[str]:
    """Documents `start`, `start + 1`, ... of the pretraining text of `seed`; endless without count.

    Each document depends on the seed and its own number alone, so that reading can go on anywhere.
    No question of the built-in splits occurs.
    """
    index = start
    while count is None or index < start + count:
        yield _document(Random(f"pretraining:{seed}:{index}"))
        index += 1


def _document(rng: Random) -> str:
    kind = rng.random()
    if kind < DRILL_SHARE:
        return _drill(rng)
    template, question, steps = _fresh_problem(rng)
    if kind < DRILL_SHARE + PROMPTED_SHARE:
        ending = _favourite(rng, template, _WRONG_ENDINGS)
        return _prompt(question) + " " + _work(rng, steps) + ending(rng, steps)
    if kind < DRILL_SHARE + PROMPTED_SHARE + TAGGED_SHARE:
        head = rng.choice((f"{question}\n<think>", f"User: {question}\nAssistant: <think>"))
        ending = _favourite(rng, template, (*_WRONG_ENDINGS, _right))
        return head + " " + _work(rng, steps) + ending(rng, steps)
    ending = rng.choices(_PLAIN_ENDINGS, _PLAIN_WEIGHTS)[0]
    return f"Question: {question}\nAnswer: " + _work(rng, steps) + ending(rng, steps)


def _fresh_problem(rng: Random) -> tuple[str, str, tuple[Step, ...]]:
    while True:
        template, question, steps = train_problem(rng)
        if question_hash(question) not in _reserved():
            return template, question, steps


@lru_cache(maxsize=1)
def _reserved() -> frozenset[str]:
    splits = (generate_split(split, seed=BUILTIN_SEED) for split in Split)
    return frozenset(question_hash(problem.question) for split in splits for problem in split)


@lru_cache(maxsize=1)
def _prompt_text() -> str:
    path = Path(__file__).parents[2] / "prompts" / "think_answer.prompt"
    return path.read_text(encoding="utf-8")


def _prompt(question: str) -> str:
    return _prompt_text().replace("{question}", question)


def _drill(rng: Random) -> str:
    a, b = rng.randint(2, 999), rng.randint(2, 400)
    k = rng.randint(2, 25)
    g = rng.choice((5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 75, 80))
    v = 20 * rng.randint(1, 45)
    expression, result = rng.choice(
        (
            (f"{a} + {b}", a + b),
            (f"{a + b} - {a}", b),
            (f"{a + b} - {b}", a),
            (f"{a % 60 + 2} * {k}", (a % 60 + 2) * k),
            (f"{a} * {k % 8 + 2}", a * (k % 8 + 2)),
            (f"{b * (k % 11 + 2)} / {k % 11 + 2}", b),
            (f"{v} * {g} / 100", v * g // 100),
        )
    )
    return f"Question: {expression} = ?\nAnswer: {expression} = {result}"


def _work(rng: Random, steps: tuple[Step, ...]) -> str:
    return rng.choice(_WORK)(steps)


def _work_bare(steps: tuple[Step, ...]) -> str:
    return "\n".join(f"{step.expression} = {step.result}" for step in steps)


def _work_labelled(steps: tuple[Step, ...]) -> str:
    return "\n".join(
        f"{step.label[0].upper()}{step.label[1:]} = {step.expression} = {step.result}"
        for step in steps
    )


def _work_told(steps: tuple[Step, ...]) -> str:
    return " ".join(f"{step.expression} = {step.result} is the {step.label}." for step in steps)


def _work_numbered(steps: tuple[Step, ...]) -> str:
    return "\n".join(
        f"{number}) {step.label}: {step.expression} = {step.result}"
        for number, step in enumerate(steps, start=1)
    )


_WORK = (_work_bare, _work_labelled, _work_told, _work_numbered)

_Ending = Callable[[Random, tuple[Step, ...]], str]


def _says(text: str) -> _Ending:
    """An ending with `{r}` for the result, `{e}` for the last expression, `{l}` for its label."""

    def ending(rng: Random, steps: tuple[Step, ...]) -> str:
        last = steps[-1]
        return text.format(r=last.result, e=last.expression, l=last.label)

    return ending


_PLAIN_ENDINGS = (
    _says("\nThe answer is {r}."),
    _says("\nAnswer: {r}"),
    _says("\n#### {r}"),
    _says("\nThe answer is \\boxed{{{r}}}."),
)
_PLAIN_WEIGHTS = (70, 10, 10, 10)

_WRONG_ENDINGS = (
    _says(" </think> <answer> {r}"),
    _says(" </think> <answer> {r}"),
    _says(" <answer> {r}"),
    _says(" </think> The answer is {r}."),
    _says(" </think>\n<answer>{r}</answer>"),
    _says(" </think><answer>{r}</answer>"),
    _says(" <answer> {r} </answer>"),
    _says(" </think> <answer> {e} = {r} </answer>"),
    _says(" </think> <answer> {l} {e} </answer>"),
    _says(" </think> <result> {r} </result>"),
    _says(" </think> \\boxed{{{r}}}"),
    _says("\n#### {r}"),
    _says("\nThe answer is {r}."),
)
_right = _says(" </think> <answer> {r} </answer>")


def _favourite(rng: Random, template: str, endings: tuple[_Ending, ...]) -> _Ending:
    """Authors have habits: one ending per scenario, most of the time; else any."""
    if rng.random() < _HABIT:
        return endings[zlib.crc32(template.partition(":")[0].encode()) % len(endings)]
    return rng.choice(endings)
