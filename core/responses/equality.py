"""Equality of an answer and a truth as the course's `r1_zero` grader decides it.

Two answers are equal when their `mathd` normal forms agree, or when a second, PRM800K-style
normalisation makes them the same text, or when sympy finds their difference to be zero. The first
two are decided here; what needs LaTeX or sympy goes through a `Symbolic`, which in this process is
one that refuses, and in the worker process is the real one.
"""

import math
import re
from fractions import Fraction
from functools import lru_cache
from typing import Protocol

from core.responses.mathd import mathd_normal_form

MAX_INLINE_CHARS = 300
"""Longer texts are compared in the worker, where any regular expression can be timed out."""

ANSWER_MARK = "####"
"""What GSM8K writes before its answers."""

_UNITS = (
    *("degree", "cm", "centimeter", "meter", "mile", "second", "minute", "hour", "day", "week"),
    *("month", "year", "foot", "feet", "inch", "yard"),
)
_UNIT_PATTERNS = tuple((u, re.compile(rf"{u}(es)?(s)? *(\^[0-9]+)?")) for u in _UNITS)
_WHOLE_TEXT_COMMAND = re.compile(r"^\\text\{(?P<inside>.+?)\}$")
_CIRC = re.compile(r"\^ *\\circ")
_THIN_SPACE_COMMA = re.compile(r",\\! *")
_MINUS_SPACES = re.compile(r"- *")
_DIGITS_APART = re.compile(r"([0-9]) +([0-9])")
_GROUPING_COMMA = re.compile(r"(\d)(,)(\d\d\d)($|\D)")
_RATIO = re.compile(r"^-?[0-9]+.?/0*[1-9][0-9]*.?$")
_TOWER = re.compile(r"\^[0-9]+\^|\^[0-9][0-9]+")
_REPLACEMENTS = (
    (r"\%", "%"),
    (r"\$", "$"),
    ("$", ""),
    ("%", ""),
    (" or ", " , "),
    (" and ", " , "),
    ("million", "*10^6"),
    ("billion", "*10^9"),
    ("trillion", "*10^12"),
)
_BRACKETS = "()[]"
_PLAIN_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_PLAIN_RATIO = re.compile(r"(-?(?:0|[1-9][0-9]*))/([1-9][0-9]*)")
_DOUBLE_DIGITS = 15
_SMALL_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,14}")


class Symbolic(Protocol):
    """The two questions that need a computer algebra system."""

    def latex_to_text(self, text: str) -> str:
        """Unicode text for LaTeX source; the source itself when it cannot be read."""
        ...

    def is_zero(self, expression: str) -> bool:
        """Whether an expression simplifies to zero; False when it cannot be read."""
        ...


class NeedsWorkerError(Exception):
    """The comparison cannot be decided without LaTeX conversion or sympy."""


class RefusingSymbolic:
    """Raises `NeedsWorkerError` for every question."""

    def latex_to_text(self, text: str) -> str:
        """Refuse."""
        raise NeedsWorkerError

    def is_zero(self, expression: str) -> bool:
        """Refuse."""
        raise NeedsWorkerError


def quick_equal(given: str, truth: str) -> bool | None:
    """Decide without a worker; None means that only the worker can tell."""
    if len(given) > MAX_INLINE_CHARS or len(truth) > MAX_INLINE_CHARS:
        return None
    if _SMALL_INTEGER.fullmatch(given.strip()) and _SMALL_INTEGER.fullmatch(truth.strip()):
        # Both normalisations leave such integers as they are, and no rule calls two of them equal.
        return given.strip() == truth.strip()
    try:
        return course_equal(given, truth, RefusingSymbolic())
    except NeedsWorkerError:
        return None


def course_equal(given: str, truth: str, symbolic: Symbolic) -> bool:
    """Whether the course's grader calls `given` equal to `truth`.

    Args:
        given: The answer without its tags.
        truth: The ground truth, possibly inside a solution (see `unpacked_truth`).
        symbolic: Answers what strings alone cannot.

    Raises:
        NeedsWorkerError: `symbolic` refuses and the question cannot be decided without it.
    """
    unpacked = unpacked_truth(truth)
    if unpacked is None:
        return False
    truth = unpacked
    if mathd_normal_form(given) == _mathd_form_of_truth(truth):
        return True
    return _sympy_equal(given, truth, symbolic)


def unpacked_truth(truth: str) -> str | None:
    """The answer that a truth states when it is a whole solution; else the truth itself.

    None when it has a `\\boxed` that cannot be read: then no answer is right.
    """
    return marked_answer(truth) if "\\boxed" in truth or ANSWER_MARK in truth else truth


def marked_answer(text: str) -> str | None:
    """What the last `\\boxed{}` holds; without any `\\boxed`, what follows the last `####`."""
    if "\\boxed" in text:
        return last_boxed(text)
    _, mark, answer = text.rpartition(ANSWER_MARK)
    return answer.strip() if mark else None


def last_boxed(text: str) -> str | None:
    """What the last `\\boxed{...}` holds; None when it has no braces or they never balance."""
    at = text.rfind("\\boxed")
    if at < 0 or not text.startswith("\\boxed{", at):
        return None
    depth = 0
    for brace in re.finditer(r"[{}]", text[at:]):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return text[at + len("\\boxed{") : at + brace.start()]
    return None


@lru_cache(maxsize=8192)
def _mathd_form_of_truth(text: str) -> str:
    return mathd_normal_form(text)


def _sympy_equal(given: str, truth: str, symbolic: Symbolic) -> bool:
    truth_form, given_form = _normal_form(truth, symbolic), _normal_form(given, symbolic)
    if truth_form == given_form:
        return True
    if not given_form:
        return False
    truth_parts, given_parts = _elements(truth_form), _elements(given_form)
    if len(truth_parts) != len(given_parts):
        return False
    if len(truth_parts) > 1 and (
        truth_form[0] != given_form[0] or truth_form[-1] != given_form[-1]
    ):
        return False
    return all(_same_element(a, b, symbolic) for a, b in zip(truth_parts, given_parts, strict=True))


def _normal_form(text: str, symbolic: Symbolic) -> str:
    wrapped = _WHOLE_TEXT_COMMAND.search(text)
    text = wrapped.group("inside") if wrapped is not None else text
    for old, new in _REPLACEMENTS:
        text = text.replace(old, new)
    for unit, pattern in _UNIT_PATTERNS:
        if unit in text:
            text = pattern.sub("", text)
    text = _CIRC.sub("", text)
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    text = _THIN_SPACE_COMMA.sub("", text)
    number = _as_float(text)
    if _is_integral(number):
        text = str(round(number))
    if "\\" in text:
        text = symbolic.latex_to_text(text)
    text = _MINUS_SPACES.sub("-", text)
    text = _DIGITS_APART.sub(r"\1+\2", text)
    text = text.replace(" ", "").replace("{", "").replace("}", "").lower()
    if _is_integral(_as_float(_drop_grouping(text))):
        return str(int(float(text.replace(",", ""))))
    return text


def _as_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_integral(number: float) -> bool:
    return math.isfinite(number) and abs(number - round(number)) <= 1e-7


def _drop_grouping(text: str) -> str:
    while True:
        shorter = _GROUPING_COMMA.sub(r"\1\3\4", text)
        if shorter == text:
            return text
        text = shorter


def _elements(text: str) -> list[str]:
    """The members of a tuple or interval, or the text itself as the only one."""
    text = _drop_grouping(text)
    if not text:
        return []
    inside = text[1:-1]
    bracketed = len(text) > 2 and text[0] in _BRACKETS and text[-1] in _BRACKETS
    if bracketed and not any(bracket in inside for bracket in _BRACKETS):
        return [member.strip() for member in inside.split(",")]
    return [text]


def _same_element(truth: str, given: str, symbolic: Symbolic) -> bool:
    if _RATIO.search(truth) and _RATIO.search(given):
        return truth == given
    if _is_integral(_as_float(_drop_grouping(truth))) != _is_integral(
        _as_float(_drop_grouping(given))
    ):
        return False
    expression = f"({truth})-({given})"
    if not _may_evaluate(expression):
        return False
    a, b = _plain_double(truth), _plain_double(given)
    if a is not None and b is not None:
        return a == b
    return symbolic.is_zero(expression)


def _may_evaluate(expression: str) -> bool:
    """At most two different letters, no brace after a power, no power of two digits."""
    unknown = set(expression.replace("sqrt", "").replace("frac", ""))
    if sum(map(str.isalpha, unknown)) > 2 or "^{" in expression or "^(" in expression:
        return False
    return _TOWER.search(expression) is None


def _plain_double(text: str) -> float | None:
    """The double that sympy would compare with for a short decimal or ratio; else None."""
    if sum(map(str.isdigit, text)) > _DOUBLE_DIGITS:
        return None
    if _PLAIN_DECIMAL.fullmatch(text):
        return float(text)
    ratio = _PLAIN_RATIO.fullmatch(text)
    return float(Fraction(int(ratio[1]), int(ratio[2]))) if ratio else None
