"""Reads a filter by recursive descent.

filter     = all { "or" all }
all        = single { "and" single }
single     = "not" single | "(" filter ")" | comparison
comparison = field ( relation value | [ "not" ] "in" "(" value { "," value } ")"
                   | "is" [ "not" ] ( "none" | "nan" ) )
relation   = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~" | "has"
"""

import difflib

from core.errors import UserError
from core.registry.query.syntax import (
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    FieldName,
    Filter,
    Membership,
    Not,
    Relation,
    State,
    Value,
    Writing,
)
from core.registry.query.tokens import Token, TokenKind, tokenize

DEEPEST = 50
MOST_COMPARISONS = 200
MOST_VALUES = 500
_WRITINGS = {
    TokenKind.NUMBER: Writing.NUMBER,
    TokenKind.WORD: Writing.WORD,
    TokenKind.QUOTED: Writing.QUOTED,
}
_RELATIONS = {**{relation.value: relation for relation in Relation}, "==": Relation.EQUAL}
_WORDS = ("and", "or", "not", "in", "is", "has")


def parse_filter(text: str) -> Filter:
    """The tree behind a filter.

    Raises:
        UserError: it is no filter; the sentence names the place, and what was expected there.
    """
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = tokenize(text)
        self._position = 0
        self._depth = 0
        self._comparisons = 0

    def whole(self) -> Filter:
        if self._next.kind is TokenKind.END:
            raise UserError(
                'the filter is empty; write for example "kind = sft and accuracy > 0.3"'
            )
        tree = self._any()
        if self._next.kind is not TokenKind.END:
            raise self._expected("and, or, or the end", _WORDS)
        return tree

    @property
    def _next(self) -> Token:
        return self._tokens[self._position]

    def _take(self) -> Token:
        token = self._next
        if token.kind is not TokenKind.END:
            self._position += 1
        return token

    def _takes_word(self, word: str) -> bool:
        found = self._next.is_word(word)
        self._position += found
        return found

    def _takes_sign(self, sign: str) -> bool:
        found = self._next.kind is TokenKind.SIGN and self._next.text == sign
        self._position += found
        return found

    def _any(self) -> Filter:
        parts = [self._all()]
        while self._takes_word("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all(self) -> Filter:
        parts = [self._single()]
        while self._takes_word("and"):
            parts.append(self._single())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _single(self) -> Filter:
        self._depth += 1
        if self._depth > DEEPEST:
            raise UserError(
                f"the filter is nested more than {DEEPEST} deep at character {self._next.place}; "
                "write it with fewer parentheses"
            )
        try:
            if self._takes_word("not"):
                return Not(self._single())
            if self._takes_sign("("):
                inner = self._any()
                self._close()
                return inner
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Filter:
        self._comparisons += 1
        if self._comparisons > MOST_COMPARISONS:
            raise UserError(
                f"the filter has more than {MOST_COMPARISONS} comparisons; use in (...)"
            )
        field = self._field()
        if self._takes_word("is"):
            return self._condition(field)
        if self._next.is_word("not"):
            self._take()
            if not self._takes_word("in"):
                raise self._expected("in")
            return Not(self._membership(field))
        if self._takes_word("in"):
            return self._membership(field)
        return Comparison(field, self._relation(), self._value())

    def _field(self) -> FieldName:
        token = self._next
        if token.kind not in (TokenKind.WORD, TokenKind.QUOTED) or token.is_word(*_WORDS):
            raise self._expected("the name of a field")
        self._take()
        return FieldName(token.text, token.place)

    def _relation(self) -> Relation:
        token = self._next
        written = token.text.lower() if token.kind is not TokenKind.QUOTED else ""
        if written not in _RELATIONS:
            signs = ", ".join(relation.value for relation in Relation)
            raise self._expected(f"one of {signs}, in or is", _WORDS)
        self._take()
        return _RELATIONS[written]

    def _condition(self, field: FieldName) -> Filter:
        negated = self._takes_word("not")
        token = self._next
        if not token.is_word(*State):
            raise self._expected("none or nan", tuple(State))
        self._take()
        condition = Condition(field, State(token.text.lower()))
        return Not(condition) if negated else condition

    def _membership(self, field: FieldName) -> Membership:
        if not self._takes_sign("("):
            raise self._expected("( and a list of values")
        values = [self._value()]
        while self._takes_sign(","):
            values.append(self._value())
            if len(values) > MOST_VALUES:
                raise UserError(f"in (...) takes at most {MOST_VALUES} values")
        self._close()
        return Membership(field, tuple(values))

    def _value(self) -> Value:
        token = self._next
        if token.kind not in _WRITINGS:
            raise self._expected("a value: a number, a word, or text in quotes")
        if token.is_word(*_WORDS):
            raise self._expected("a value (a word of the language only in quotes)")
        if token.is_word(*State):
            raise UserError(
                f"the filter compares with {token.text} at character {token.place}; write is "
                f"{token.text.lower()}, or put the text into quotes"
            )
        self._take()
        return Value(_WRITINGS[token.kind], token.text, token.place, token.number)

    def _close(self) -> None:
        if not self._takes_sign(")"):
            raise self._expected(")")

    def _expected(self, what: str, words: tuple[str, ...] = ()) -> UserError:
        token = self._next
        near = difflib.get_close_matches(token.text.lower(), words, n=2, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near and token.text else ""
        return UserError(
            f"the filter has {token.shown} at character {token.place} where {what} is "
            f"expected{hint}"
        )
