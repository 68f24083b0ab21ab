"""The calculations that a response writes out, such as `12 * 3 = 36`: which of them are false?"""

import re
from dataclasses import dataclass
from fractions import Fraction

_NUMBER = r"\$?[0-9]{1,12}(?:,[0-9]{3})*(?:\.[0-9]{1,8})?"
_OPERATOR = r"\s?[-+*/×÷x]\s?"
_CALCULATION = re.compile(
    # What stands before must not be a part of the same term, or the left side would be misread.
    rf"(?<![\d.,+*/×÷x=-])(?<![+*/×÷x-]\s)({_NUMBER}(?:{_OPERATOR}{_NUMBER}){{1,8}})\s?=\s?({_NUMBER})"
    r"(?![\d]|[.,]\d|\s?[-+*/×÷])"
)
_PIECES = re.compile(rf"({_NUMBER})|([-+*/×÷x])")
_ROUNDING = Fraction(1, 100)
"""A result within one part in a hundred, or one cent, is rounded and not false."""


@dataclass(frozen=True, slots=True)
class Calculations:
    """How many calculations were written out, and how many of them do not hold."""

    written: int
    false: int


def check_calculations(text: str) -> Calculations:
    """Check every `a op b ... = c` of plain numbers; anything else is passed over."""
    verdicts = [_holds(left, right) for left, right in _CALCULATION.findall(text)]
    known = [verdict for verdict in verdicts if verdict is not None]
    return Calculations(written=len(known), false=known.count(False))


def _holds(left: str, right: str) -> bool | None:
    value = _value(left)
    if value is None:
        return None
    gap = abs(value - _fraction(right))
    return gap <= _ROUNDING or gap <= _ROUNDING * abs(value)


def _value(expression: str) -> Fraction | None:
    """Products before sums; None where it divides by zero."""
    terms: list[Fraction] = []
    operator = "+"
    for number, sign in _PIECES.findall(expression):
        if sign:
            operator = sign
        elif operator in "+-":
            terms.append(_fraction(number) if operator == "+" else -_fraction(number))
        elif operator in "/÷":
            divisor = _fraction(number)
            if not divisor:
                return None
            terms[-1] /= divisor
        else:
            terms[-1] *= _fraction(number)
    return sum(terms, Fraction())


def _fraction(number: str) -> Fraction:
    return Fraction(number.replace("$", "").replace(",", ""))
