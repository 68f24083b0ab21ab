"""Numerals in text: where they stand and what they are worth, in time linear in the text.

A numeral is one written number: `7`, `7.0`, `-3`, `1,234`, `1e3`, `3/4`, `1 1/2`, `\\frac{3}{4}`.
Currency, percent signs, units and LaTeX wrappers around it do not belong to it and do not matter.
"""

import re
import unicodedata
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import islice

MAX_NUMERAL_CHARS = 1000
MAX_EXPONENT = 400
_SHORT_TEXT = 100
_USUALLY_ASKED = 4

# Possessive quantifiers (`++`) keep the scan linear: no digit is looked at from two starts.
_INTEGER = r"(?:[0-9]{1,3}(?:(?:,|\{,\}|\\,|,\\!)[0-9]{3})+(?![0-9])|[0-9]++)"
_DECIMAL = rf"(?:{_INTEGER}(?:\.[0-9]++)?|(?<![\w.])\.[0-9]++)"
_BRACED = rf"(?:\{{\s{{0,3}}{_DECIMAL}\s{{0,3}}\}}|[0-9])"
_LATEX_FRACTION = rf"\\[dt]?frac\s{{0,3}}(?P<top>{_BRACED})\s{{0,3}}(?P<bottom>{_BRACED})"
_VULGAR = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞↉"
# What a numeral can begin with is asked first: most characters are ruled out by that alone.
_NUMERAL = re.compile(
    rf"(?=[0-9.\\{_VULGAR}])(?:"
    rf"(?:(?P<vulgar_whole>[0-9]++)\s?)?(?P<vulgar>[{_VULGAR}])"
    rf"|(?:(?P<whole>[0-9]++)\s{{0,3}})?{_LATEX_FRACTION}"
    r"|(?P<mixed>[0-9]++) {1,3}(?P<mixed_top>[0-9]++)/(?P<mixed_bottom>[0-9]++)"
    rf"|(?P<number>{_DECIMAL})(?:[eE](?P<exponent>[-+]?[0-9]++)|\s?/\s?(?P<divisor>{_DECIMAL}))?)"
)
# Characters that stand in no numeral: between two of them, numerals can be looked for on their own.
_LAST_BREAK = re.compile(r"(?s:.*)[<>=*]")
_FOREIGN = re.compile(r"(?:(?![0-9])\d)++|[\u2010-\u2013\u2212\ufe63\uff0d]")
_BEFORE_DIGITS = ("-", "+", "−", "$")
_SIGN = re.compile(r"([-+−])(?:\\?\$)?\Z")
_UNIT_EXPONENT = re.compile(r"(?:\b|[0-9])(?:mm|cm|dm|m|km|ft|feet|in|inches|yd|mi)\^?\{?\Z")
_SEPARATORS = str.maketrans("", "", ",{}\\! \t\n")
_BEFORE = re.compile(r"(?:\s|\\?[$€£]|\\(?:boxed|text|mathrm|mathbf|left)\b|[-+−{(\[]|\\[(\[!,;])*")
_AFTER = re.compile(
    r"(?:\s|\\?[$%€£]|\\text\{[^{}]*\}|\\mathrm\{[^{}]*\}|\^\{?\\circ\}?|°|[})\].]|\\[)\]!,;]|\\right\b"
    r"|(?<=\s)[A-Za-z]+(?:\^?[23]|[²³])?)*"
)


@dataclass(frozen=True, slots=True)
class Numeral:
    """One written number.

    Attributes:
        start: Offset of its first character, sign included.
        end: Offset after its last character.
        digits: How it is written, without its sign.
        negative: Its sign is a minus.
    """

    start: int
    end: int
    digits: str
    negative: bool

    @property
    def value(self) -> Fraction | None:
        """Its exact value; None when it has none (a zero divisor) or is too long to matter."""
        value = _value(self.digits)
        return -value if value is not None and self.negative else value


def find_numerals(text: str, at_most: int | None = None) -> tuple[Numeral, ...]:
    """The numerals of `text` from left to right; only the first ones where `at_most` is given."""
    text = _in_ascii_digits(text)
    if len(text) <= _SHORT_TEXT:
        return _remembered(text)[:at_most]
    return tuple(islice(_find(text, 0, len(text)), at_most))


def numerals_from_the_end(text: str) -> Iterator[Numeral]:
    """The numerals of `find_numerals`, last one first; only what is asked for is read."""
    text = _in_ascii_digits(text)
    end = len(text)
    while end:
        found = _LAST_BREAK.match(text, 0, end)
        start = found.end() if found is not None else 0
        if start < end:
            yield from _backwards(text, start, end)
        # Without the break itself, the next search ends before it.
        end = max(start - 1, 0)


def holds_one_numeral(answer: str) -> bool:
    """The answer holds exactly one numeral; any other is unparseable as a number."""
    return len(find_numerals(answer, at_most=2)) == 1


def number_of(text: str) -> Fraction | None:
    """The value of a text that is one numeral and nothing else but currency, units and wrappers.

    `$18`, `1,234`, `5 cm` and `\\frac{1}{2}` are numbers; `x=5`, `2\\sqrt{3}` and `3, 4` are not.
    """
    return _number_of(text) if len(text) <= MAX_NUMERAL_CHARS else None


@lru_cache(maxsize=4096)
def _number_of(text: str) -> Fraction | None:
    numerals = find_numerals(text, at_most=2)
    if len(numerals) != 1:
        return None
    (numeral,) = numerals
    before, after = text[: numeral.start], text[numeral.end :]
    if _BEFORE.fullmatch(before) is None or _AFTER.fullmatch(after) is None:
        return None
    return numeral.value


def _in_ascii_digits(text: str) -> str:
    """Digits of every script and dashes as ASCII, one character for one, so that offsets stay."""
    return text if text.isascii() else _translated(text)


# One response is asked about its last number and its answer in turn.
@lru_cache(maxsize=2)
def _translated(text: str) -> str:
    return _FOREIGN.sub(_ascii_twins, text)


def _ascii_twins(match: re.Match[str]) -> str:
    return "".join(str(unicodedata.decimal(character, "-")) for character in match.group())


def _find(text: str, start: int, end: int) -> Iterator[Numeral]:
    return (
        _numeral(text, match)
        for match in _NUMERAL.finditer(text, start, end)
        if not _is_unit_exponent(text, match)
    )


def _backwards(text: str, start: int, end: int) -> Iterator[Numeral]:
    """The numerals of a stretch, last one first.

    The first few are kept while the stretch is read once; only who asks for more pays for all.
    """
    last = deque(_NUMERAL.finditer(text, start, end), maxlen=_USUALLY_ASKED)
    found = [_numeral(text, match) for match in last if not _is_unit_exponent(text, match)]
    yield from reversed(found)
    if len(last) == _USUALLY_ASKED:
        everything = tuple(_find(text, start, end))
        yield from reversed(everything[: len(everything) - len(found)])


# Several graders ask about the same answer, and many responses give the same one.
@lru_cache(maxsize=4096)
def _remembered(text: str) -> tuple[Numeral, ...]:
    return tuple(_find(text, 0, len(text)))


def _numeral(text: str, match: re.Match[str]) -> Numeral:
    start, negative = _sign(text, match.start())
    return Numeral(start, match.end(), match.group(), negative)


def _sign(text: str, start: int) -> tuple[int, bool]:
    """Offset where the numeral begins with its sign, and whether that is a minus.

    A minus after a digit or a closing bracket subtracts, and one glued to a word is a hyphen.
    """
    glued = text[max(0, start - 1) : start]
    found = _SIGN.search(text, max(0, start - 3), start) if glued in _BEFORE_DIGITS else None
    if found is None:
        return start, False
    at = found.start()
    if at and (text[at - 1].isalnum() or text[at - 1] in ")]}%"):
        return start, False
    before = at
    while before and text[before - 1].isspace():
        before -= 1
    if before and (text[before - 1].isdigit() or text[before - 1] in ")]}%"):
        return start, False
    return at, found.group(1) != "+"


def _is_unit_exponent(text: str, match: re.Match[str]) -> bool:
    """The 2 of `cm^2` belongs to the unit."""
    if match.group() not in ("2", "3"):
        return False
    return _UNIT_EXPONENT.search(text, max(0, match.start() - 10), match.start()) is not None


@lru_cache(maxsize=4096)
def _value(digits: str) -> Fraction | None:
    match = _NUMERAL.fullmatch(digits) if len(digits) <= MAX_NUMERAL_CHARS else None
    if match is None:
        return None
    part = match.groupdict()
    if part["vulgar"] is not None:
        return _sum(part["vulgar_whole"], _vulgar(part["vulgar"]))
    if part["top"] is not None:
        return _sum(part["whole"], _ratio(part["top"], part["bottom"]))
    if part["mixed"] is not None:
        return _sum(part["mixed"], _ratio(part["mixed_top"], part["mixed_bottom"]))
    if part["divisor"] is not None:
        return _ratio(part["number"], part["divisor"])
    return _scaled(_plain(part["number"]), int(part["exponent"] or 0))


def _plain(digits: str) -> Fraction:
    return Fraction(digits.translate(_SEPARATORS))


def _ratio(top: str, bottom: str) -> Fraction | None:
    divisor = _plain(bottom)
    return _plain(top) / divisor if divisor else None


def _vulgar(character: str) -> Fraction:
    return Fraction(unicodedata.numeric(character)).limit_denominator(10)


def _sum(whole: str | None, part: Fraction | None) -> Fraction | None:
    return part if whole is None or part is None else int(whole) + part


def _scaled(number: Fraction, exponent: int) -> Fraction | None:
    return None if abs(exponent) > MAX_EXPONENT else number * Fraction(10) ** exponent
