"""From the tree of a filter to a condition in SQL; every value travels as a bound parameter."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from core.errors import UserError
from core.registry.query.fields import Catalogue, Field, FieldType
from core.registry.query.operands import COUNTS, Expression, Operand, Operands
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

MOST_METRICS = 40
_EQUALITY = (Relation.EQUAL, Relation.UNEQUAL)
_ORDER = (Relation.LESS, Relation.AT_MOST, Relation.GREATER, Relation.AT_LEAST)
_SUBSTRING = (Relation.CONTAINS, Relation.LACKS)
_ALLOWED = {
    FieldType.TEXT: (*_EQUALITY, *_SUBSTRING),
    FieldType.NUMBER: (*_EQUALITY, *_ORDER),
    FieldType.SHARE: (*_EQUALITY, *_ORDER),
    FieldType.TIME: _ORDER,
    FieldType.DURATION: _ORDER,
    FieldType.FLAG: _EQUALITY,
    FieldType.TAGS: (Relation.HAS, *_SUBSTRING),
    FieldType.SETTING: (*_EQUALITY, *_ORDER, *_SUBSTRING),
}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)([smhdw])")
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)%")
_FLAGS = {"true": True, "false": False}
_EXAMPLES = {
    FieldType.NUMBER: "a number, such as 512 or 1e-4",
    FieldType.SHARE: "a share, such as 0.3 or 30%",
    FieldType.TIME: "a date or time (UTC), such as 2026-01-31 or 2026-01-31T18:00",
    FieldType.DURATION: "a length of time with its unit, such as 90s, 5m, 2h, 3d or 1w",
    FieldType.FLAG: "true or false",
}


class Compiler:
    """Compiles filters over the same operands.

    Args:
        catalogue: Which fields there are.
        operands: How they read in SQL.
    """

    def __init__(self, catalogue: Catalogue, operands: Operands) -> None:
        self._catalogue = catalogue
        self._operands = operands

    def operand(self, name: FieldName) -> Operand:
        """The SQL of a field by its name.

        Raises:
            UserError: there is no such field, or too many metrics are looked at.
        """
        operand = self._operands.operand(self._catalogue.resolve(name))
        if self._operands.metrics > MOST_METRICS:
            raise UserError(f"one listing can look at {MOST_METRICS} metrics; name fewer")
        return operand

    def condition(self, tree: Filter) -> Expression:
        """A condition that is true or false for every run, never NULL.

        Raises:
            UserError: a field is unknown, or is compared with what it cannot be compared with.
        """
        match tree:
            case Not():
                return _negated(self.condition(tree.inner))
            case AllOf():
                return _joined(" AND ", (self.condition(part) for part in tree.parts))
            case AnyOf():
                return _joined(" OR ", (self.condition(part) for part in tree.parts))
            case Condition():
                return self._state(tree)
            case Membership():
                operand = self.operand(tree.field)
                _check(operand.field, Relation.EQUAL, tree.field)
                fits = (self._holds(operand, Relation.EQUAL, value) for value in tree.values)
                return _joined(" OR ", fits)
            case Comparison():
                operand = self.operand(tree.field)
                _check(operand.field, tree.relation, tree.field)
                return self._holds(operand, tree.relation, tree.value)

    def _state(self, tree: Condition) -> Expression:
        operand = self.operand(tree.field)
        if tree.state is State.NAN:
            return operand.nan if operand.nan is not None else "(1 = 0)"
        if operand.present is not None:
            return _negated(operand.present)
        (value,) = operand.order
        return f"({value} IS NULL)"

    def _holds(self, operand: Operand, relation: Relation, value: Value) -> Expression:
        negated = {Relation.UNEQUAL: Relation.EQUAL, Relation.LACKS: Relation.CONTAINS}
        if relation in negated:
            return _negated(self._holds(operand, negated[relation], value))
        if operand.field.type is FieldType.TAGS:
            if relation is Relation.HAS:
                return self._operands.has_tag(value.text)
            return self._operands.tag_contains(value.text)
        return f"COALESCE({self._compared(operand, relation, value)}, false)"

    def _compared(self, operand: Operand, relation: Relation, value: Value) -> Expression:
        """The comparison itself; NULL where the field has no such value."""
        if relation is Relation.CONTAINS:
            assert operand.text is not None
            return self._operands.contains(operand.text, value.text)
        wanted = _wanted(operand.field, value)
        if isinstance(wanted, bool):
            assert operand.flag is not None
            return f"({operand.flag} IS {'TRUE' if wanted else 'FALSE'})"
        if isinstance(wanted, str) and relation in _ORDER:
            raise UserError(
                f"{operand.field.name} is compared with the text {value.text!r} at character "
                f"{value.place} of the filter; {relation} takes a number"
            )
        known = operand.text if isinstance(wanted, str) else operand.number
        assert known is not None, operand.field.type
        return f"({known} {relation} {self._operands.bind(wanted)})"


def _negated(condition: Expression) -> Expression:
    return f"(NOT {condition})"


def _joined(word: str, conditions: Iterable[Expression]) -> Expression:
    return f"({word.join(conditions)})"


def _check(field: Field, relation: Relation, name: FieldName) -> None:
    allowed = _ALLOWED[field.type]
    if relation not in allowed:
        signs = ", ".join(allowed)
        raise UserError(
            f"{field.name} at character {name.place} of the filter is {field.type.value}, which "
            f"cannot be compared with {relation}; use {signs} or is none"
        )


def _wanted(field: Field, value: Value) -> str | float | bool:
    """The value as the field's type reads it.

    Raises:
        UserError: it cannot be read so.
    """
    if field.type is FieldType.TEXT:
        return value.text
    if field.type is FieldType.SETTING:
        return _wanted_setting(value)
    readers = {
        FieldType.NUMBER: _number,
        FieldType.SHARE: _share,
        FieldType.TIME: _time,
        FieldType.DURATION: _duration,
        FieldType.FLAG: _flag,
    }
    wanted = readers[field.type](value)
    part, share = _share(value), COUNTS.get(field.name)
    if share is not None and part is not None and 0 < part < 1:
        raise UserError(
            f"{field.name} counts responses, and {value.text} at character {value.place} of the "
            f"filter is a part of them; {share} has the parts"
        )
    if wanted is None:
        raise UserError(
            f"{field.name} is compared with {value.text!r} at character {value.place} of the "
            f"filter; it is {field.type.value}: give {_EXAMPLES[field.type]}"
        )
    return wanted


def _wanted_setting(value: Value) -> str | float | bool:
    if value.number is not None:
        return value.number
    if value.writing is Writing.WORD and value.text.lower() in _FLAGS:
        return _FLAGS[value.text.lower()]
    return value.text


def _number(value: Value) -> float | None:
    return value.number


def _share(value: Value) -> float | None:
    found = _PERCENT.fullmatch(value.text) if value.writing is Writing.WORD else None
    return float(found[1]) / 100 if found else value.number


def _duration(value: Value) -> float | None:
    found = _DURATION.fullmatch(value.text) if value.writing is Writing.WORD else None
    return float(found[1]) * _UNITS[found[2]] if found else None


def _time(value: Value) -> float | None:
    try:
        moment = datetime.fromisoformat(value.text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _flag(value: Value) -> bool | None:
    return _FLAGS.get(value.text.lower())
