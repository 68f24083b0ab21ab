"""What the words of a text are: a sentence, nothing at all, or copied placeholders."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

_SHORT_TEXT = 200
_LATEX_COMMAND = re.compile(r"\\[A-Za-z]+")
_ASCII_LETTER = re.compile(r"[A-Za-z]")
_ANY_WORD = re.compile(r"[^\W_]+")
# A word stands between blanks: the parts of an address or of program code are none.
_PROSE_WORD = re.compile(
    r"(?<!\S)[\"'“‘(\[{*]*([^\W\d_]{2,}(?:['’-][^\W\d_]+)*)[\"'”’)\]}*.,:;!?]*(?!\S)"
)
# Kana, Han, Hangul and Thai put no blanks between words: each character counts as a word.
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e01-\u0e3a]")
_STATING_VERBS = frozenset({"is", "are", "was", "were", "equals"})
_EMPTY_WRAPPER = re.compile(
    r"\\(?:boxed|text|mathrm|mathbf|textbf)\s*\{\s*\}|\$\s*\$|\\\(\s*\\\)|\\\[\s*\\\]|\{\s*\}"
)


@dataclass(frozen=True, slots=True)
class Placeholders:
    """Texts that the prompt shows in place of reasoning and answer, stripped.

    Echoing one of them is neither reasoning nor an answer. Those of the course's prompt count
    under every prompt, because models trained with it repeat them anywhere.
    """

    reasoning: frozenset[str] = frozenset()
    answer: frozenset[str] = frozenset()

    def is_reasoning(self, text: str) -> bool:
        """The text is a placeholder for reasoning: case, blanks and punctuation do not matter."""
        return _is_one_of(text, self.reasoning | _COURSE_REASONING)

    def is_answer(self, text: str) -> bool:
        """The text is a placeholder for an answer; markup around it does not matter either."""
        return not _holds_no_letter(text) and _is_one_of(text, self.answer | _COURSE_ANSWER)

    def make_up(self, text: str) -> bool:
        """The text consists of placeholders and nothing else."""
        known, longest = _all_forms(self)
        if len(text) > longest:
            return False
        rest = words = f" {_form(text)} "
        for form in sorted(known, key=len, reverse=True):
            rest = rest.replace(f" {form} ", " ")
        return bool(words.strip()) and not rest.strip()


_COURSE_REASONING = frozenset({"reasoning process here"})
_COURSE_ANSWER = frozenset({"answer here"})


def is_sentence(answer: str) -> bool:
    """The answer is prose.

    That is three words and more before its first number, or three in all with a stating verb
    (`answer is 7 or 8`), or five in all. LaTeX commands are no words; `18 miles per hour` is a
    number with its unit.
    """
    if _holds_no_letter(answer):
        return False
    plain = _LATEX_COMMAND.sub(" ", answer)
    words = _words(plain)
    if len(words) >= 5 or (len(words) >= 3 and not _STATING_VERBS.isdisjoint(words)):
        return True
    return len(_words(re.split(r"\d", plain, maxsplit=1)[0])) >= 3


def is_empty(answer: str) -> bool:
    """Nothing is in the answer but blanks and LaTeX wrappers around nothing."""
    if not answer or answer.isspace():
        return True
    if len(answer) > _SHORT_TEXT:
        return False
    before = ""
    while answer != before:
        before, answer = answer, _EMPTY_WRAPPER.sub("", answer)
    return not answer.strip()


def _words(text: str) -> list[str]:
    found = [word.casefold() for word in _PROSE_WORD.findall(_UNSPACED.sub(" ", text))]
    return found + _UNSPACED.findall(text)


def _is_one_of(text: str, placeholders: frozenset[str]) -> bool:
    if text.strip() in placeholders:
        return _has_letter(text)
    known = _forms(placeholders)
    longest = max(map(len, known), default=0)
    return len(text) <= _SHORT_TEXT + 2 * longest and _form(text) in known


@lru_cache(maxsize=64)
def _all_forms(placeholders: Placeholders) -> tuple[frozenset[str], int]:
    """The forms of every placeholder, and how long a text made up of them may be."""
    known = _forms(
        placeholders.reasoning | placeholders.answer | _COURSE_REASONING | _COURSE_ANSWER
    )
    return known, _SHORT_TEXT + 2 * sum(map(len, known))


@lru_cache(maxsize=64)
def _forms(placeholders: Iterable[str]) -> frozenset[str]:
    # A number between tags of the prompt is a worked example's answer, not a placeholder.
    return frozenset(_form(text) for text in placeholders if _has_letter(text))


def _form(text: str) -> str:
    """Its words in small letters, without LaTeX commands, punctuation and repeated blanks."""
    return " ".join(_ANY_WORD.findall(_LATEX_COMMAND.sub(" ", text).casefold()))


def _holds_no_letter(text: str) -> bool:
    """A bare number, most likely: asked first, because most answers are one."""
    return text.isascii() and _ASCII_LETTER.search(text) is None


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))
