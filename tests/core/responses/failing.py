"""Responses of a working model, and of models that fail in one known way each."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from core.engines.base import FinishReason
from core.responses.breakdown import OutcomeRow
from core.responses.grade import GradedText, GradingItem, Placeholders, grade_responses
from core.responses.names import GraderName
from core.responses.signs import Subject

STOP, EOS, LENGTH = FinishReason.STOP_STRING, FinishReason.EOS, FinishReason.LENGTH
UNKNOWN = FinishReason.UNKNOWN
CAP = 160
_NAMES = ("Tom", "Mia", "Ravi", "Lena", "Omar", "Ines", "Yuki", "Paul")
_THINGS = ("apples", "pencils", "stamps", "coins", "books", "cards")
PLACEHOLDERS = Placeholders(frozenset({"your working"}), frozenset({"your result"}))


@dataclass(frozen=True, slots=True)
class Solved:
    """What a working model writes for one problem: worked steps, and a number."""

    steps: str
    number: int
    truth: int
    thing: str
    name: str

    def text(self) -> str:
        return f" {self.steps} </think> <answer> {self.number} </answer>"


Fail = Callable[[Solved, random.Random], tuple[str, FinishReason]]


def healthy(solved: Solved, rng: random.Random) -> tuple[str, FinishReason]:
    """Well formed, but for a few leftovers."""
    luck = rng.random()
    if luck < 0.02:
        return solved.text().removesuffix(" </answer>"), EOS
    if luck < 0.03:
        return f" {solved.steps} So it is {solved.number}.", EOS
    if luck < 0.04:
        return cut(f" {solved.steps}" + " and then we see" * CAP), LENGTH
    if luck < 0.05:
        return f" {solved.steps} </think> <answer> {solved.number} dollars </answer>", STOP
    return solved.text(), STOP


def cut(text: str, words: int = CAP) -> str:
    """A text up to so many words; words stand for tokens here."""
    parts = text.split(" ")
    return " ".join(parts[: words + 1])


def capped(words: int) -> Fail:
    def short(solved: Solved, rng: random.Random) -> tuple[str, FinishReason]:
        kept = cut(solved.text(), words)
        return (kept, STOP) if kept == solved.text() else (kept, LENGTH)

    return short


def goes_on(solved: Solved, rng: random.Random) -> tuple[str, FinishReason]:
    more = " ".join(f"{rng.choice(_NAMES)} has {rng.randrange(99)} pens." for _ in range(40))
    return cut(f"{solved.text()} Question: {more}"), LENGTH


def loops(solved: Solved, rng: random.Random) -> tuple[str, FinishReason]:
    again = f" Then {solved.name} counts the {solved.thing} again." * 30
    return cut(f" {solved.steps}{again}"), LENGTH


def nearly_loops(solved: Solved, rng: random.Random) -> tuple[str, FinishReason]:
    again = " ".join(f"Next we need the result: {rng.choice((18, 48))}." for _ in range(40))
    return cut(f" {solved.steps} {again}"), LENGTH


def rambles(solved: Solved, rng: random.Random) -> tuple[str, FinishReason]:
    """No loop, and far longer than any solution."""
    words = " ".join(f"{rng.choice(_NAMES)} {rng.randrange(9999)}" for _ in range(CAP))
    return cut(f" {solved.steps} {words}"), LENGTH


def never_closes(solved: Solved, rng: random.Random) -> tuple[str, FinishReason]:
    return solved.text().removesuffix(" </answer>"), EOS


def goes_on_open(solved: Solved, rng: random.Random) -> tuple[str, FinishReason]:
    more = " ".join(f"{rng.choice(_NAMES)} took {rng.randrange(999)} of these." for _ in range(40))
    return cut(f"{solved.text().removesuffix(' </answer>')} {more}"), LENGTH


def no_think_close(solved: Solved, rng: random.Random) -> tuple[str, FinishReason]:
    return f" {solved.steps} <answer> {solved.number} </answer>", STOP


def joined(between: str) -> Fail:
    return lambda solved, rng: (
        f" {solved.steps} </think>{between}<answer> {solved.number} </answer>",
        STOP,
    )


def ended(form: str) -> Fail:
    """No tags: the number in another format."""
    return lambda solved, rng: (
        f" {solved.steps} " + form.format(n=solved.number, name=solved.name, thing=solved.thing),
        EOS,
    )


def says_nothing(solved: Solved, rng: random.Random) -> tuple[str, FinishReason]:
    return rng.choice(["", " \n"]), EOS


def answered(form: str) -> Fail:
    """The tags, and this in the answer."""

    def answer(solved: Solved, rng: random.Random) -> tuple[str, FinishReason]:
        content = form.format(n=solved.number, name=solved.name, thing=solved.thing)
        return f" {solved.steps} </think> <answer> {content} </answer>", STOP

    return answer


def copies(solved: Solved, rng: random.Random) -> tuple[str, FinishReason]:
    return " your working </think> <answer> your result </answer>", STOP


def copies_reasoning(solved: Solved, rng: random.Random) -> tuple[str, FinishReason]:
    return f" your working </think> <answer> {solved.number} </answer>", STOP


def misreckons(solved: Solved, rng: random.Random) -> tuple[str, FinishReason]:
    wrong = solved.truth + rng.randrange(1, 40)
    return f" {solved.steps} So {wrong}. </think> <answer> {wrong} </answer>", STOP


def constant(solved: Solved, rng: random.Random) -> tuple[str, FinishReason]:
    return f" {solved.steps} </think> <answer> 0 </answer>", STOP


def respond(
    fail: Fail = healthy,
    *,
    share: float = 1.0,
    n: int = 300,
    seed: int = 0,
    accuracy: float = 0.6,
    finish_known: bool = True,
    stop_kept: bool = True,
    prompt_known: bool = True,
    grader: GraderName = GraderName.R1_ZERO,
) -> list[Subject]:
    """An evaluation in which a share of the responses fails in one way, the others are healthy."""
    rng = random.Random(seed)
    items = []
    for _ in range(n):
        solved = _solve(rng, accuracy)
        text, finish = (fail if rng.random() < share else healthy)(solved, rng)
        if not stop_kept and finish is STOP:
            text, finish = text.removesuffix("</answer>"), EOS
        known = PLACEHOLDERS if prompt_known else Placeholders()
        ending = finish if finish_known else UNKNOWN
        items.append(GradingItem(text, str(solved.truth), ending, known))
    return [
        _subject(item, graded, grader, index)
        for index, (item, graded) in enumerate(zip(items, grade_responses(items), strict=True))
    ]


def _subject(item: GradingItem, graded: GradedText, grader: GraderName, index: int) -> Subject:
    verdict, lenient = graded.verdicts[grader], graded.verdicts[GraderName.LENIENT]
    given = verdict.extracted if verdict.extracted is not None else lenient.extracted
    tokens = len(item.text.split())
    outcome = OutcomeRow(graded.failures[grader], lenient.right, item.finish, tokens, graded.flags)
    return Subject(outcome, item.text, item.truth, given, f"p{index}")


def _solve(rng: random.Random, accuracy: float) -> Solved:
    """A chain of two to six additions; a wrong one is well reckoned from a misread number."""
    name, thing = rng.choice(_NAMES), rng.choice(_THINGS)
    total = truth = rng.randrange(5, 60)
    wrong = rng.random() >= accuracy
    steps = []
    for step in range(rng.randrange(2, 7)):
        more = rng.randrange(3, 90)
        truth += more
        used = more + 1 if wrong and step == 0 else more
        kind = rng.choice(("", "more ", "small red "))  # a cap must fall on different words
        steps.append(f"{name} finds {used} {kind}{thing}, so {total} + {used} = {total + used}.")
        total += used
    return Solved(" ".join(steps), total, truth, thing, name)
