"""Numbers that are written in English words: `forty-two`, `three hundred and five`."""

import re
from fractions import Fraction

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = {"thousand": 1_000, "million": 1_000_000}
_VALUES = {
    **{word: value for value, word in enumerate(_SMALL)},
    **{word: 10 * value for value, word in enumerate(_TENS, start=2)},
}
_MOST_WORDS = 12
_WORD = re.compile(r"[A-Za-z]+")


def number_in_words(text: str) -> Fraction | None:
    """The number that a short text begins with in words; None where it has digits or none.

    A unit may follow: `forty-two dollars` is 42.
    """
    words = [word.lower() for word in _WORD.findall(text)]
    if len(words) > _MOST_WORDS or any(char.isdigit() for char in text):
        return None
    spelled = []
    for word in words:
        if word not in _VALUES and word not in _SCALES and word not in ("hundred", "and"):
            break
        spelled.append(word)
    if not spelled or spelled[0] not in _VALUES:
        return None
    return Fraction(_sum(spelled))


def _sum(words: list[str]) -> int:
    total = group = 0
    for word in words:
        if word in _VALUES:
            group += _VALUES[word]
        elif word == "hundred":
            group *= 100
        elif word in _SCALES:
            total, group = total + group * _SCALES[word], 0
    return total + group
