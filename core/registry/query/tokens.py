"""Cuts a filter into words, numbers, quoted texts and signs, each with its place."""

import math
import re
from dataclasses import dataclass
from enum import Enum

from core.errors import UserError

LONGEST_FILTER = 10_000
_SIGNS = ("!=", "!~", "<=", ">=", "==", "=", "<", ">", "~", "(", ")", ",")
_WORD = re.compile(r"[\w./:@+*%-]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
# beyond it a database has no integer
_LARGEST_INTEGER = 2**63 - 1


class TokenKind(Enum):
    """What a piece of a filter is."""

    WORD = "word"
    NUMBER = "number"
    QUOTED = "quoted text"
    SIGN = "sign"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """One piece; `place` is the number of its first character, from 1."""

    kind: TokenKind
    text: str
    place: int
    number: int | float | None = None

    @property
    def shown(self) -> str:
        """The piece as a message names it."""
        return "the end" if self.kind is TokenKind.END else repr(self.text)

    def is_word(self, *words: str) -> bool:
        """It is one of these words of the language, in any case, and no quoted text."""
        return self.kind is TokenKind.WORD and self.text.lower() in words


def tokenize(text: str) -> list[Token]:
    """All pieces of a filter, with one that marks the end.

    Raises:
        UserError: a character that begins nothing, a quote that is not closed, a number that is
            too large, or text that no database could hold.
    """
    _check_text(text)
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        token, position = _next(text, position)
        tokens.append(token)
    return [*tokens, Token(TokenKind.END, "", len(text) + 1)]


def _check_text(text: str) -> None:
    if len(text) > LONGEST_FILTER:
        raise UserError(
            f"the filter has {len(text):,} characters; at most {LONGEST_FILTER:,} are read"
        )
    for place, char in enumerate(text, start=1):
        if char == "\0" or "\ud800" <= char <= "\udfff":
            raise UserError(f"character {place} of the filter, {char!r}, is no text; leave it out")


def _next(text: str, position: int) -> tuple[Token, int]:
    place = position + 1
    if text[position] in "'\"":
        return _quoted(text, position)
    for sign in _SIGNS:
        if text.startswith(sign, position):
            return Token(TokenKind.SIGN, sign, place), position + len(sign)
    found = _WORD.match(text, position)
    if found is None:
        raise UserError(
            f"character {place} of the filter, {text[position]!r}, begins nothing that a filter "
            "has; put text with such characters into quotes"
        )
    word = found.group()
    if _NUMBER.fullmatch(word):
        return Token(TokenKind.NUMBER, word, place, _number(word, place)), found.end()
    return Token(TokenKind.WORD, word, place), found.end()


def _quoted(text: str, position: int) -> tuple[Token, int]:
    """Text between two equal quotes; a backslash takes the next quote or backslash as it is."""
    quote, pieces = text[position], []
    index = position + 1
    while index < len(text) and text[index] != quote:
        if text[index] == "\\" and text[index + 1 : index + 2] in (quote, "\\"):
            index += 1
        pieces.append(text[index])
        index += 1
    if index >= len(text):
        raise UserError(
            f"the quote at character {position + 1} of the filter is not closed; add another "
            f"{quote} behind the text"
        )
    return Token(TokenKind.QUOTED, "".join(pieces), position + 1), index + 1


def _number(text: str, place: int) -> int | float:
    if _INTEGER.fullmatch(text) and len(text) < 25 and abs(int(text)) <= _LARGEST_INTEGER:
        return int(text)
    value = float(text)
    if math.isinf(value):
        raise UserError(
            f"{text!r} at character {place} of the filter is larger than any stored number"
        )
    return value
