"""Problems with a fixed plot: texts, ranges of their numbers, and the steps that solve them."""

from dataclasses import dataclass
from random import Random

from core.data.synthetic.story import MAX_VALUE, Draft, Story, cast_words
from core.data.synthetic.vocabulary import World


@dataclass(frozen=True, slots=True)
class Form:
    """One plot.

    Attributes:
        id: Template id.
        texts: Wordings of the whole question; letters in braces are numbers.
        ranges: Letter -> (low, high, multiple of).
        steps: (label, expression over letters, letter of the result), for example
            `("cost of the pens", "a * b", "p")`.
    """

    id: str
    texts: tuple[str, ...]
    ranges: dict[str, tuple[int, int, int]]
    steps: tuple[tuple[str, str, str], ...]


def build_form(rng: Random, forms: tuple[Form, ...], world: World) -> Story:
    """One problem with a fixed plot."""
    form = rng.choice(forms)
    while True:
        draft = Draft(rng, cast_words(rng, world.people))
        numbers = {
            letter: rng.randrange(-(-low // unit) * unit, high + 1, unit)
            for letter, (low, high, unit) in form.ranges.items()
        }
        if _solve(draft, form, numbers):
            draft.say(form.texts, **numbers)
            return draft.story(form.id)


def _solve(draft: Draft, form: Form, numbers: dict[str, int]) -> bool:
    """Add the steps; False when a result is not a whole number in [1, MAX_VALUE]."""
    values = dict(numbers)
    for label, pattern, letter in form.steps:
        expression = " ".join(str(values.get(token, token)) for token in pattern.split())
        result = evaluate(expression)
        if result is None or not 1 <= result <= MAX_VALUE:
            return False
        values[letter] = draft.step(label, expression, result)
    return True


def evaluate(expression: str) -> int | None:
    """Value of `1 + 2` or `240 * 25 / 100`, left to right; None when a division leaves a rest."""
    first, *rest = expression.split()
    value = int(first)
    for operator, text in zip(rest[::2], rest[1::2], strict=True):
        operand = int(text)
        if operator == "/" and (operand == 0 or value % operand):
            return None
        value = {
            "+": value + operand,
            "-": value - operand,
            "*": value * operand,
            "/": value // operand if operand else 0,
        }[operator]
    return value
