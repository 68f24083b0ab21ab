"""Ordinary responses to GSM8K problems: what a trained model writes, right and wrong, in one mix.

Each is built from a problem's worked solution: the question is taken up again, the steps follow
without calculator marks, and the answer stands in tags, in one of the forms and accidents below.
They are 300 to 600 characters long, as far as the solution allows.
"""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.engines.base import FinishReason
from core.responses.grade import GradingItem

_CALCULATOR_MARK = re.compile(r"<<[^<>]*>>")
_LEADS = (
    "Let's work through the problem step by step.",
    "We need to find out what is asked:",
    "First, let me restate the problem.",
    "To solve this, I start from what is given.",
)
_ENDS = (
    "Therefore, the answer is {}.",
    "So the final result is {}.",
    "That gives {} in total.",
    "Hence we get {} and we are done.",
)
_UNITS = ("dollars", "apples", "hours", "miles", "students", "minutes")
SHORTEST, LONGEST = 300, 600


@dataclass(frozen=True)
class Solved:
    """A problem of the data with its worked solution.

    Attributes:
        question: As the data asks it.
        steps: The solution without calculator marks.
        truth: The final number, without grouping commas.
    """

    question: str
    steps: str
    truth: str


@dataclass(frozen=True)
class Ordinary:
    """One response and the form of it that was drawn."""

    form: str
    item: GradingItem


def read_solved(paths: list[Path]) -> list[Solved]:
    """The problems of GSM8K files."""
    found = []
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            steps, _, truth = row["answer"].partition("#### ")
            steps = _CALCULATOR_MARK.sub("", steps).strip()
            found.append(Solved(row["question"], steps, truth.strip().replace(",", "")))
    return found


def ordinary_responses(problems: list[Solved], n: int, seed: int = 0) -> list[Ordinary]:
    """`n` responses over the problems in turn, in the shares of `FORMS`; the seed decides all."""
    rng = random.Random(seed)
    forms, shares = list(FORMS), [share for share, _ in FORMS.values()]
    made = []
    for i in range(n):
        form = rng.choices(forms, shares)[0]
        made.append(Ordinary(form, FORMS[form][1](problems[i % len(problems)], rng)))
    return made


def _reasoning(problem: Solved, said: str, rng: random.Random) -> str:
    """Lead, the end of the question, the steps and a conclusion that says `said`."""
    end = rng.choice(_ENDS).format(said)
    room = max(0, LONGEST - len(problem.steps) - len(end) - 80)
    wanted = max(0, SHORTEST - len(problem.steps) - len(end) - 60)
    length = min(room, max(wanted, rng.randint(40, 200)))
    asked = problem.question[-length:].partition(" ")[2] if length else ""
    return " ".join(part for part in (rng.choice(_LEADS), asked, problem.steps, end) if part)


def _whole(problem: Solved, rng: random.Random, answer: str, said: str | None = None) -> str:
    said = problem.truth if said is None else said
    return f" {_reasoning(problem, said, rng)} </think> <answer> {answer} </answer>"


def _stopped(text: str, problem: Solved) -> GradingItem:
    return GradingItem(text, problem.truth, FinishReason.STOP_STRING)


def _written(pattern: str) -> Callable[[Solved, random.Random], GradingItem]:
    """A right answer in a form: `{}` is the number, `{unit}` a unit."""

    def make(problem: Solved, rng: random.Random) -> GradingItem:
        answer = pattern.replace("{unit}", rng.choice(_UNITS)).replace("{}", problem.truth)
        return _stopped(_whole(problem, rng, answer), problem)

    return make


def _grouped(problem: Solved, rng: random.Random) -> GradingItem:
    whole, dot, part = problem.truth.partition(".")
    return _stopped(_whole(problem, rng, f"{int(whole):,}{dot}{part}"), problem)


def _wrong(problem: Solved, rng: random.Random) -> GradingItem:
    number = float(problem.truth)
    wrong = rng.choice((number + rng.randint(1, 20), number * 2 + 1, number - 1, number / 2 + 0.25))
    text = f"{wrong:g}" if abs(wrong) < 1e5 else str(int(wrong))
    return _stopped(_whole(problem, rng, text, said=text), problem)


def _sentence(problem: Solved, rng: random.Random) -> GradingItem:
    subject = next(word for word in problem.question.split() if word.isalpha())
    phrase = rng.choice(("The answer is {}.", "{subject} has {} {unit} left.", "It takes {}."))
    phrase = phrase.replace("{subject}", subject).replace("{unit}", rng.choice(_UNITS))
    return _stopped(_whole(problem, rng, phrase.replace("{}", problem.truth)), problem)


def _unclosed(problem: Solved, rng: random.Random) -> GradingItem:
    text = _whole(problem, rng, problem.truth).removesuffix(" </answer>")
    return GradingItem(text, problem.truth, FinishReason.EOS)


def _no_separator(problem: Solved, rng: random.Random) -> GradingItem:
    between = rng.choice(("</think><answer>", "</think>\n<answer>", "</think>\n\n<answer>"))
    text = _whole(problem, rng, problem.truth).replace("</think> <answer>", between)
    return _stopped(text, problem)


def _no_tags(problem: Solved, rng: random.Random) -> GradingItem:
    return GradingItem(
        f" {_reasoning(problem, problem.truth, rng)}", problem.truth, FinishReason.EOS
    )


def _truncated(problem: Solved, rng: random.Random) -> GradingItem:
    text = _whole(problem, rng, problem.truth)
    return GradingItem(
        text[: rng.randint(len(text) // 2, len(text) - 40)], problem.truth, FinishReason.LENGTH
    )


FORMS: dict[str, tuple[int, Callable[[Solved, random.Random], GradingItem]]] = {
    "plain number": (42, _written("{}")),
    "wrong number": (20, _wrong),
    "grouped": (3, _grouped),
    "$18": (6, _written("${}")),
    "$18.00": (2, _written("${}.00")),
    "18%": (1, _written("{}%")),
    "boxed": (2, _written("\\boxed{{}}")),
    "with a unit": (5, _written("{} {unit}")),
    "sentence": (4, _sentence),
    "unclosed": (3, _unclosed),
    "another separator": (3, _no_separator),
    "no tags": (3, _no_tags),
    "truncated": (6, _truncated),
}
"""Form -> its share in percent, and what makes one."""
