"""Multiple-choice questions as text: options are lines of the question, the truth is a letter.

What is stored of a problem is its question and its truth, so the options stand in the question.
They can be read back from there: to grade stored responses again, and to grade another tool's.
"""

import re
from collections.abc import Sequence

from core.data.problem import Problem

LETTERS = "ABCD"
# possessive: a hostile line of blanks must not cost its length squared
_LINE = r"[^\S\n]*+\(?{letter}[.):][^\S\n]*+(?P<{letter}>[^\n]*+)"
_BLOCK = re.compile("^" + r"\n".join(_LINE.format(letter=letter) for letter in LETTERS), re.M)


def with_options(question: str, options: Sequence[str]) -> str:
    """The question with its options below it, one line each: `A. ...`."""
    lines = [
        f"{letter}. {' '.join(option.split())}".rstrip()
        for letter, option in zip(LETTERS, options, strict=True)
    ]
    return "\n".join([question.strip(), *lines])


def options_of(question: str, truth: str) -> tuple[str, ...]:
    """The four options that a question shows last; none where the truth is not one of A to D.

    A whole prompt with solved examples before the question is understood, too.
    """
    if truth not in LETTERS or len(truth) != 1:
        return ()
    blocks = list(_BLOCK.finditer(question))
    if not blocks:
        return ()
    return tuple(blocks[-1].group(letter).strip() for letter in LETTERS)


def is_choice(problem: Problem) -> bool:
    """The problem shows options, and its truth is the letter of one."""
    return bool(options_of(problem.question, problem.truth))
