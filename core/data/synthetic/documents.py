"""Pretraining text: train-world problems answered in every style but that of the training targets.

Most documents are plain `Question:`/`Answer:` pairs. A smaller share is answered in formats that
models pick up in the wild (boxed, `####`, half-right tags), partly under the built-in prompt
itself, where one in eight is right. That share is why the built-in base can do much of the
arithmetic and mostly misses the format; it is there by design, and the model card says so.
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
    make_problem,
    question_hash,
)
from core.data.synthetic.story import Step, Story

DRILL_SHARE = 0.12
TAGGED_SHARE = 0.05
PROMPTED_SHARE = 0.09
RIGHT_SHARE = 0.125
_HABIT = 0.65


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
    story = _fresh_problem(rng)
    work = rng.choice(_WORK)(story.steps)
    if kind < DRILL_SHARE + PROMPTED_SHARE:
        return f"{_prompt(story.question)} {work}{_tagged_ending(rng, story)(story.steps)}"
    if kind < DRILL_SHARE + PROMPTED_SHARE + TAGGED_SHARE:
        heads = (f"{story.question}\n<think>", f"User: {story.question}\nAssistant: <think>")
        return f"{rng.choice(heads)} {work}{_tagged_ending(rng, story)(story.steps)}"
    ending = rng.choices(_PLAIN_ENDINGS, _PLAIN_WEIGHTS)[0]
    return f"Question: {story.question}\nAnswer: {work}{ending(story.steps)}"


def _fresh_problem(rng: Random) -> Story:
    while True:
        story = make_problem(rng, Split.TRAIN)
        if question_hash(story.question) not in _reserved():
            return story


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
    top, part = rng.choice(((2, 3), (3, 4), (2, 5)))
    unit = rng.choice((7, 12, 60))
    expression, result = rng.choice(
        (
            (f"{a} + {b}", a + b),
            (f"{a + b} - {a}", b),
            (f"{a + b} - {b}", a),
            (f"{a % 60 + 2} * {k}", (a % 60 + 2) * k),
            (f"{a} * {k % 8 + 2}", a * (k % 8 + 2)),
            (f"{b * (k % 11 + 2)} / {k % 11 + 2}", b),
            (f"{v} * {g} / 100", v * g // 100),
            (f"{part * k} * {top} / {part}", top * k),
            (f"{k} * {unit}", k * unit),
            (f"{k * unit} / {unit}", k),
        )
    )
    return f"Question: {expression} = ?\nAnswer: {expression} = {result}"


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

_Ending = Callable[[tuple[Step, ...]], str]


def _says(text: str) -> _Ending:
    """An ending with `{r}` for the result, `{e}` for the last expression, `{l}` for its label."""

    def ending(steps: tuple[Step, ...]) -> str:
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

_UNCLOSED = _says(" </think> <answer> {r}")
_SENTENCE = _says(" </think> The answer is {r}.")
_NEW_LINE = _says(" </think>\n<answer>{r}</answer>")
_NO_CLOSE_OF_THOUGHT = _says(" <answer> {r} </answer>")
_EQUATION = _says(" </think> <answer> {e} = {r} </answer>")
_BOXED = _says(" </think> \\boxed{{{r}}}")
_HASHED = _says("\n#### {r}")
_WRONG_ENDINGS = (
    _UNCLOSED,
    _SENTENCE,
    _NEW_LINE,
    _NO_CLOSE_OF_THOUGHT,
    _EQUATION,
    _BOXED,
    _HASHED,
    _says(" <answer> {r}"),
    _says(" </think><answer>{r}</answer>"),
    _says(" </think> <answer> {l} {e} </answer>"),
    _says(" </think> <result> {r} </result>"),
    _says("\nThe answer is {r}."),
)
_RIGHT = _says(" </think> <answer> {r} </answer>")

_HABITS = {
    "price": _EQUATION,
    "pack": _UNCLOSED,
    "divide": _HASHED,
    "target": _NO_CLOSE_OF_THOUGHT,
    "final": _SENTENCE,
    "remain": _NEW_LINE,
    "compare": _BOXED,
    "together": _UNCLOSED,
}


def _tagged_ending(rng: Random, story: Story) -> _Ending:
    """Authors have habits: one ending per kind of question, most of the time; else any."""
    if rng.random() < RIGHT_SHARE:
        return _RIGHT
    if rng.random() < _HABIT:
        asked = story.template.rpartition("-")[2].rpartition(":")[2]
        return _HABITS.get(asked) or _favourite(story.template)
    return rng.choice(_WRONG_ENDINGS)


def _favourite(form: str) -> _Ending:
    return _WRONG_ENDINGS[zlib.crc32(form.encode()) % len(_WRONG_ENDINGS)]
