r"""The string normalisation behind the course grader's first equality, oddities included.

Two answers are equal under it when their normal forms are the same string. The rules are those of
the MATH data set's grader (Hendrycks et al. 2021) as `math_grader.py` of sail-sg/understand-r1-zero
extends it, with unit words mainly from MathQA. Everything here is what that one does, down to
details nobody would choose: `7 apples` becomes `7` because apples are in the unit list, `7 dollars`
stays what it is because dollars are not, and `0.5` becomes `\frac{1}{2}` while `0.25` stays.
"""

import re
from functools import cache

# Units in the order in which they are tried; the order is part of the behaviour, because a dot
# stands for any character and so `a .` also eats what follows an article. Words between two of
# these multi-word units do not influence each other and are sorted.
_UNIT_TABLE = """
degree|east|ft|kmph|mph|m sqaure| m east|sq m|deg|mile|q .|monkey|prime|ratio|profit of rs|gm|o|rd
p . m|ab|dm|gain|lb|lt|per|tile|way|west|a .|b .|c .|d .|e .|f .|g .|h .|a|h|t|no change
acre|bc|by|c|excess|gal|inches|kmh|men|noon|percent|pie|rise|soldier|st|a . m|th|π r 2
coin|l|mark|sq|toy|sq . m|gallon|° f|am|feet|hr|minw|pm|profit|women|yr|cu cm|square
v â € ™|are|cc|cube|cubic|day|hour|kmph|man|min|minute|mt|mtr|number|ohm|rounds|rupee|s|sec
second|woman|sq inch|mp|∏ cm ³|hectare|more|sec|unit|cu . m|cm 2|rs .
apple|cm|d|decrease|g|increase|kg|km|less|liter|litre|loss|m|mm|month|pure|rs|Surface|yard|year
pi sq m|s .|inch|meter|metre
"""
_UNITS = tuple(unit for line in _UNIT_TABLE.strip().splitlines() for unit in line.split("|"))
_UNITS_AND_PLURALS = _UNITS + tuple(unit + "s" for unit in _UNITS)
_LITERAL_HEADS = tuple((unit.partition(".")[0], unit) for unit in _UNITS_AND_PLURALS)

_LETTER = re.compile(r"[A-Za-z]")  # every unit has one
_WHOLE_TEXT_COMMAND = re.compile(r"^\\text\{(?P<inside>.+?)\}$")
_LAST_TEXT_COMMAND = re.compile(r"\\text{.*?}$")
_ARRAY_OPEN = re.compile(r"\\begin\{array\}\{.*?\}")
_CANONICAL_INTEGER = r"(?:0|-?[1-9][0-9]*)"
_SIMPLE_RATIO = re.compile(rf"({_CANONICAL_INTEGER})/({_CANONICAL_INTEGER})")

_EARLY_REPLACEMENTS = (
    ("tfrac", "frac"),
    ("dfrac", "frac"),
    (r"\neq", r"\ne"),
    (r"\leq", r"\le"),
    (r"\geq", r"\ge"),
    (r"\left", ""),
    (r"\right", ""),
)


class _NoNormalFormError(Exception):
    """The text is LaTeX that breaks off; it is compared as it stands."""


def mathd_normal_form(answer: str) -> str:
    """The normal form of an answer; a text that cannot be normalised comes back stripped."""
    answer = answer.strip()
    wrapped = _WHOLE_TEXT_COMMAND.search(answer)
    if wrapped is not None:
        answer = wrapped.group("inside").strip()
    try:
        return _normalize(answer)
    except _NoNormalFormError:
        return answer


def _normalize(text: str) -> str:
    text = _unify_latex(text)
    without_unit = _LAST_TEXT_COMMAND.sub("", text).strip()
    text = without_unit or text
    text = _drop_units(text)
    text = _drop_symbols(text)
    text = text.replace(" .", " 0.").replace("{.", "{0.")
    if not text:
        return text
    text = _drop_short_left_side("0" + text if text[0] == "." else text)
    text = _brace_roots(text).replace(" ", "")
    text = _brace_fractions(text)
    if text == "0.5":
        return r"\frac{1}{2}"
    ratio = _SIMPLE_RATIO.fullmatch(text)
    return rf"\frac{{{ratio[1]}}}{{{ratio[2]}}}" if ratio else text


def _unify_latex(text: str) -> str:
    text = text.replace("\n", "").replace(r"\!", "").replace("\\\\", "\\")
    text = _ARRAY_OPEN.sub(r"\\begin{pmatrix}", text).replace(r"\end{array}", r"\end{pmatrix}")
    text = text.replace("bmatrix", "pmatrix")
    for old, new in _EARLY_REPLACEMENTS:
        text = text.replace(old, new)
    return text


def _drop_units(text: str) -> str:
    """Remove units that stand alone between non-word characters, in two rounds."""
    if _LETTER.search(text) is None:
        return text
    for _ in range(2):
        for head, unit in _LITERAL_HEADS:
            if head in text:
                text = _unit_pattern(unit).sub(r"\1\2", text) or text
    return text


@cache
def _unit_pattern(unit: str) -> re.Pattern[str]:
    return re.compile(rf"(^|\W){unit}($|\W)")


def _drop_symbols(text: str) -> str:
    text = text.replace(r"^{\circ}", "").replace(r"^\circ", "").replace(r"\$", "")
    before, unit, after = text.partition(r"\text{ ")
    if unit and r"\text{ " in after:
        raise _NoNormalFormError
    return before.replace(r"\%", "")


def _drop_short_left_side(text: str) -> str:
    """`x = 5` is 5; a longer left side stays."""
    left, equals, right = text.partition("=")
    return right if equals and "=" not in right and len(left) <= 2 else text


def _brace_roots(text: str) -> str:
    """Write `\\sqrt3` as `\\sqrt{3}`."""
    head, *parts = text.split(r"\sqrt")
    if not all(parts):
        raise _NoNormalFormError
    return head + "".join(
        r"\sqrt" + (part if part[0] == "{" else f"{{{part[0]}}}{part[1:]}") for part in parts
    )


def _brace_fractions(text: str) -> str:
    """Write `\\frac12` and `\\frac1{2}` as `\\frac{1}{2}`; one bad fraction leaves all alone."""
    head, *parts = text.split(r"\frac")
    braced = [head]
    for part in parts:
        if not part:
            raise _NoNormalFormError
        if part[0] != "{":
            if len(part) == 1:
                return text
            bottom = part[1:] if part[1] == "{" else f"{{{part[1]}}}{part[2:]}"
            part = f"{{{part[0]}}}{bottom}"
        braced.append(part)
    return r"\frac".join(braced)
