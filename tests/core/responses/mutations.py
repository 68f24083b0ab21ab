"""Responses for fuzzing: ordinary ones damaged in every way a model or an attacker might, or noise.

Everything follows from a seed. A few are bombs: they look harmless and do not end when computed.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence

from core.engines.base import FinishReason
from core.responses.grade import GradingItem, Placeholders

BOMBS = ("9**9**9**9", "99999999!", "2**(10**12)", "x**9**9**9", "(x+y)**9999", "9999999!!")
GIANTS = (
    "{" * 10_000,
    "9" * 20_000,
    "\\frac{" * 2_000,
    "1," * 5_000,
    "<answer>" * 500,
    "- " * 5_000,
)
TAGS = (
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "</think> <answer>",
    "\\boxed{",
    "}",
    "####",
)
PIECES = (
    *TAGS,
    *(
        " ",
        "\n",
        "7",
        "-7",
        "1,234",
        "$18",
        "18 dollars",
        "3/4",
        "1 1/2",
        ".5",
        "1e3",
        "1e999",
        "%",
    ),
    *(
        "\\frac{1}{2}",
        "\\sqrt{2}",
        "\\text{ cm}",
        "x+1",
        "x",
        "=",
        "(1,2]",
        "the answer is",
        "{",
        "$",
    ),
)
NOISE = (
    *("\0", "\x07", "\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\r", "\x7f", "\u202e", "\u2066"),
    *(
        "\u200b",
        "\u200f",
        "\ufeff",
        "\ud800",
        "１８",
        "٣",
        "²",
        "½",
        "−",
        "　",
        "🙂",
        "[bold]",
        "[/]",
    ),
)
TRUTHS = (
    "7",
    "18",
    "1,234",
    "-3",
    "0.5",
    "3/4",
    "1 1/2",
    "\\frac{1}{2}",
    "x+1",
    "(1, 2]",
    "Evelyn",
    "",
)
PROMPT = Placeholders(frozenset({"reasoning process here"}), frozenset({"answer here"}))
_DIGIT = re.compile(r"[0-9]")
_TAG = re.compile(r"</?(?:think|answer)>")


def fuzzed(
    ordinary: Sequence[GradingItem], n: int, seed: int, bomb_rate: float = 2e-4
) -> Iterator[GradingItem]:
    """`n` hostile items: three in four are damaged `ordinary` ones, the rest is made of pieces.

    Args:
        ordinary: What the damage is done to; taken in turn.
        n: How many to make, one at a time, so that a long fuzz takes no memory.
        seed: Decides everything.
        bomb_rate: Share of answers that must be stopped by the time limit.
    """
    rng = random.Random(seed)
    for number in range(n):
        base = ordinary[number % len(ordinary)]
        text = _damaged(base.text, rng) if rng.random() < 0.75 else _noise(rng)
        truth = rng.choice(TRUTHS) if rng.random() < 0.25 else base.truth
        if rng.random() < bomb_rate:
            text, truth = _bomb(rng), "x+1"
        yield GradingItem(text, truth, rng.choice(tuple(FinishReason)), PROMPT)


def _bomb(rng: random.Random) -> str:
    """A bomb in the answer and, in one of three, another one in a box before it."""
    box = rng.choice((f"\\boxed{{{rng.choice(BOMBS)}}}", "", ""))
    return f" so {box} </think> <answer> {rng.choice(BOMBS)} </answer>"


def _damaged(text: str, rng: random.Random) -> str:
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = rng.choice(DAMAGES)(text, rng)
    return text


def _noise(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.01:
        return f"{rng.choice(PIECES)}</think> <answer>{rng.choice(GIANTS)}</answer>"
    if kind < 0.3:
        return "".join(chr(_code_point(rng)) for _ in range(rng.randint(0, 80)))
    if kind < 0.6:
        return "".join(rng.choices(PIECES, k=rng.randint(0, 25)))
    inside = "".join(rng.choices(PIECES + NOISE, k=rng.randint(0, 5)))
    return f" a </think> <answer>{inside}</answer>"


def _code_point(rng: random.Random) -> int:
    return rng.choice((rng.randint(0, 0x7F), rng.randint(0, 0x2FFF), rng.randint(0, 0x10FFFF)))


def _cut(text: str, rng: random.Random) -> str:
    return text[: rng.randint(0, len(text))]


def _cut_at_the_start(text: str, rng: random.Random) -> str:
    return text[rng.randint(0, len(text)) :]


def _perturbed(text: str, rng: random.Random) -> str:
    return _DIGIT.sub(lambda match: rng.choice(("7", "0", "-", ",", match[0], match[0])), text)


def _inserted(text: str, rng: random.Random) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice(PIECES + NOISE) + text[at:]


def _into_the_answer(text: str, rng: random.Random) -> str:
    before, tag, answer = text.rpartition("<answer>")
    return before + tag + rng.choice(PIECES + NOISE) + answer


def _placeholder_for_the_answer(text: str, rng: random.Random) -> str:
    before, tag, _ = text.rpartition("<answer>")
    return f"{before}{tag} answer here {rng.choice(('', '</answer>'))}"


def _tag_removed(text: str, rng: random.Random) -> str:
    return text.replace(rng.choice(TAGS), "", rng.choice((1, -1)))


def _tag_doubled(text: str, rng: random.Random) -> str:
    tag = rng.choice(TAGS)
    return text.replace(tag, tag + rng.choice(("", " ")) + tag)


def _tags_shuffled(text: str, rng: random.Random) -> str:
    tags = _TAG.findall(text)
    rng.shuffle(tags)
    return _TAG.sub(lambda _: tags.pop(), text)


def _tag_misspelt(text: str, rng: random.Random) -> str:
    tag = rng.choice(TAGS)
    return text.replace(tag, rng.choice((tag.upper(), tag[:-1], tag.replace("<", "< "))))


def _end_repeated(text: str, rng: random.Random) -> str:
    return text + text[-rng.randint(1, 200) :] * rng.randint(1, 30)


def _words_shuffled(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    rng.shuffle(words)
    return " ".join(words)


DAMAGES: tuple[Callable[[str, random.Random], str], ...] = (
    _cut,
    _cut_at_the_start,
    _perturbed,
    _inserted,
    _into_the_answer,
    _placeholder_for_the_answer,
    _tag_removed,
    _tag_doubled,
    _tags_shuffled,
    _tag_misspelt,
    _end_repeated,
    _words_shuffled,
)
