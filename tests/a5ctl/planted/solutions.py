"""Right and wrong solutions of GSM8K questions, in varied wording, for dumps made by hand."""

import ast
import json
import operator
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

_STEP = re.compile(r"<<([^=<>]+)=([^<>]+)>>")
_NUMBER = re.compile(r"(?<![\d.,])\d[\d,]*(?:\.\d+)?(?!\d)")
_OPERATORS: Mapping[type, Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_OPENINGS = (
    *("", "", "", "", "Let's see. ", "Okay, step by step. ", "First, what is known. "),
    *("We want the result, so let us begin. ", "I will work it out. ", "Let me think. "),
)
_ENDINGS = ("", "", "", " So the answer is {}.", " That gives {}.", " The result is {}.")
_JOINTS = ("\n", "\n", ". ", ". ", ". Then ", "; ")


@dataclass(frozen=True, slots=True)
class Solved:
    """One question with the lines of its worked solution, calculator marks included."""

    id: str
    question: str
    lines: tuple[str, ...]
    truth: str
    answer: str


def questions(path: Path, count: int, seed: int) -> list[Solved]:
    """Some questions of a file in the layout of GSM8K, in an order of the seed's."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    picked = random.Random(seed).sample(range(len(rows)), count)
    return [_solved(index, rows[index]["question"], rows[index]["answer"]) for index in picked]


def right(solved: Solved, rng: random.Random) -> tuple[str, str]:
    """Reasoning that ends at the truth, and the truth."""
    return _told(solved.lines, solved.truth, rng), solved.truth


def wrong(solved: Solved, rng: random.Random) -> tuple[str, str]:
    """Reasoning with one slip carried through to the end, and the wrong number it gives."""
    steps = [i for i, line in enumerate(solved.lines) if _STEP.search(line)]
    for _ in range(8):
        if len(steps) > 1 and rng.random() < 0.2:
            lines = solved.lines[: steps[rng.randrange(len(steps) - 1)] + 1]
        elif steps:
            lines = _slipped(solved.lines, rng.choice(steps), rng)
        else:
            break
        if (end := _last_result(lines)) not in (None, solved.truth):
            return _told(lines, end, rng), end
    end = str(int(Fraction(solved.truth)) + rng.choice((-3, -2, -1, 1, 2, 5, 10)))
    return _told(solved.lines[:-1], end, rng), end


def _solved(index: int, question: str, answer: str) -> Solved:
    steps, _, truth = answer.rpartition("####")
    lines = tuple(line for line in steps.strip().split("\n") if line.strip())
    truth = truth.strip().replace(",", "")
    return Solved(f"gsm8k-test-{index:05d}", question, lines, truth, answer)


def _told(lines: tuple[str, ...], end: str, rng: random.Random) -> str:
    plain = [_STEP.sub("", line).strip().rstrip(".") for line in lines]
    text = rng.choice(_OPENINGS) + rng.choice(_JOINTS).join(plain) + "."
    return text + rng.choice(_ENDINGS).format(end)


def _slipped(lines: tuple[str, ...], at: int, rng: random.Random) -> tuple[str, ...]:
    """The lines with a wrong result in line `at`, and what follows worked out from it."""
    changed: dict[str, str] = {}
    out = []
    for index, line in enumerate(lines):
        text = line
        if changed and index > at:
            text = _NUMBER.sub(lambda found: changed.get(_bare(found[0]), found[0]), text)
        for expression, result in _STEP.findall(text):
            new = _slip(result, rng) if index == at else _worked(expression)
            old = _STEP.findall(line)[-1][1] if index == at else result
            if new is not None and new != _bare(old):
                changed[_bare(old)] = new
                text = _replaced(text, old, new)
        out.append(text)
    return tuple(out)


def _slip(result: str, rng: random.Random) -> str | None:
    """A result as a small model gets it wrong: a digit, a carry, a factor of ten."""
    value = _fraction(result)
    if value is None:
        return None
    small = [value + 1, value - 1, value + 2, value + 10, value - 10, value * 2, value * 10]
    return _plain(rng.choice([v for v in small if v > 0] or [value + 1]))


def _worked(expression: str) -> str | None:
    try:
        value = _value(ast.parse(expression.strip().replace(",", ""), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError):
        return None
    return _plain(value)


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(str(node.value))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError("not plain arithmetic")


def _replaced(text: str, old: str, new: str) -> str:
    """The text with its last mention of a number, and its calculator mark, changed."""
    head, mark, tail = text.rpartition(f"={old}>>")
    swap = _NUMBER.sub(lambda found: new if _bare(found[0]) == _bare(old) else found[0], tail)
    return f"{head}={new}>>{swap}" if mark else text


def _last_result(lines: tuple[str, ...]) -> str | None:
    found = [result for line in lines for _, result in _STEP.findall(line)]
    value = _fraction(found[-1]) if found else None
    return None if value is None else _plain(value)


def _fraction(text: str) -> Fraction | None:
    try:
        return Fraction(_bare(text))
    except (ValueError, ZeroDivisionError):
        return None


def _bare(text: str) -> str:
    return text.strip().replace(",", "").lstrip("$").removesuffix(".00")


def _plain(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.2f}"
