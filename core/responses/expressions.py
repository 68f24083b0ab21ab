"""Truths that are not plain numbers: which expression a response ends with, and is it the truth?

`lenient` and the failure classes ask this; `r1_zero` and `question_only` keep the course's own
comparison. Truths in words are compared as words, here; everything else goes to math-verify, in the
worker process only.
"""

import re

from core.responses.equality import last_boxed
from core.responses.parse import ParsedResponse
from core.responses.wording import is_sentence

MAX_EXPRESSION_CHARS = 500
"""Longer expressions equal nothing; no truth of any data set comes near."""

_TAIL_CHARS = 2000
_MATH = re.compile(
    r"\$\$?([^$\n]{1,500})\$|\\\(((?:[^\\]|\\(?!\))){1,500})\\\)|\\\[((?:[^\\]|\\(?!\])){1,500})\\\]"
)
_BEFORE_RESULT = re.compile(r"(?:[=:\n]|\b(?:is|are|equals|be)\b)\s*(?=[^\s.])")
_TEXT_COMMAND = re.compile(r"\\(?:text|mathrm|textbf|mathbf|textit|mbox)\s*\{([^{}]*)\}")
_WORDS_ONLY = re.compile(r"[(\[\s]*[^\W\d_]+(?:[\s.'’-]+[^\W\d_]+)*[)\].\s]*")
_NAMES = frozenset({"pi", "inf", "infinity", "oo"})
_UNIT = re.compile(r"(?<=[0-9})])\s*(?:(?<![A-Za-z\\])[A-Za-z]{2,}\.?\s*)+(?:\^\{?[23]\}?)?\Z")
_SYMBOLS = {
    "√": r"\sqrt ",
    "π": r"\pi ",
    "∞": r"\infty ",
    "×": r"\times ",
    "·": r"\cdot ",
    "−": "-",
    "≤": r"\leq ",
    "≥": r"\geq ",
    "∪": r"\cup ",
}
_BARE_NAMES = (
    (re.compile(r"(?<![\\A-Za-z])pi(?![A-Za-z])"), r"\\pi "),
    (re.compile(r"(?<![\\A-Za-z])(?:infinity|inf|oo)(?![A-Za-z])"), r"\\infty "),
)


def final_expression(parsed: ParsedResponse, *, capped: bool) -> str | None:
    """The expression that a response ends with; None when it has none that is complete.

    That is the answer between its tags, else the last box, else the last formula or what follows
    the last `=`, `:` or `is`. Where the length cap cut the response, only what is closed counts: a
    closed answer, a box, a formula between its delimiters.
    """
    if parsed.closed or (parsed.answer_opens and not capped):
        return _expression_in(parsed.answer_text or "")
    if capped:
        return last_boxed(parsed.text) or _last_formula(parsed.text)
    return _expression_in(parsed.text)


def quickly_same(given: str, truth: str) -> bool | None:
    """Whether an expression is the truth, as far as texts alone tell; None where they do not."""
    if not given.strip() or max(len(given), len(truth)) > MAX_EXPRESSION_CHARS:
        return False
    if given.strip() == truth.strip():
        return True
    stated = _TEXT_COMMAND.sub(r"\1", truth).strip()
    if _WORDS_ONLY.fullmatch(stated) is None or stated.casefold() in _NAMES:
        return None
    return _spelled(_TEXT_COMMAND.sub(r"\1", given)) == _spelled(stated)


def same_value(given: str, truth: str) -> bool:
    """Whether math-verify calls an expression equal to the truth. May hang: for the worker only."""
    from math_verify import parse, verify

    # No time limits inside: they rest on SIGALRM, and the worker is killed from outside.
    expected = parse(f"${_in_latex(truth)}$", parsing_timeout=None)
    found = parse(f"${_in_latex(given)}$", parsing_timeout=None)
    return bool(verify(expected, found, timeout_seconds=None))


def _expression_in(text: str) -> str | None:
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed
    formula = _last_formula(text)
    if formula is not None:
        return formula
    text = text[-_TAIL_CHARS:].strip().removesuffix(".")
    if text and len(text) <= MAX_EXPRESSION_CHARS and "\n" not in text and not is_sentence(text):
        return text
    return _after_last_mark(text)


def _last_formula(text: str) -> str | None:
    found = None
    for match in _MATH.finditer(text[-_TAIL_CHARS:]):
        found = match
    return found[found.lastindex or 0].strip() if found is not None else None


def _after_last_mark(text: str) -> str | None:
    end = None
    for match in _BEFORE_RESULT.finditer(text):
        end = match.end()
    return text[end:].strip() or None if end is not None else None


def _spelled(text: str) -> str:
    return " ".join(text.casefold().strip("()[]. \n\t$*").split())


def _in_latex(expression: str) -> str:
    """The expression without what would end the formula around it, in LaTeX's own names."""
    expression = expression.replace("$", "").strip()
    for symbol, command in _SYMBOLS.items():
        expression = expression.replace(symbol, command)
    for name, command in _BARE_NAMES:
        expression = name.sub(command, expression)
    return _UNIT.sub("", expression)
