"""What a filter says, as a tree of frozen records; nothing here knows a database."""

from dataclasses import dataclass
from enum import Enum, StrEnum


class Relation(StrEnum):
    """How a field is compared with one value."""

    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="
    CONTAINS = "~"
    LACKS = "!~"
    HAS = "has"


class State(StrEnum):
    """What a field can be instead of having a value to compare."""

    NONE = "none"
    NAN = "nan"


class Writing(Enum):
    """How a value was written down."""

    NUMBER = "a number"
    WORD = "a word"
    QUOTED = "quoted text"


@dataclass(frozen=True, slots=True)
class FieldName:
    """A field as it was written; `place` is the number of its first character, from 1."""

    text: str
    place: int


@dataclass(frozen=True, slots=True)
class Value:
    """A value as it was written.

    Attributes:
        text: The number as written, the word, or the text between the quotes.
        number: What the text is as a number; None unless it was written as one.
        place: Number of its first character, from 1.
    """

    writing: Writing
    text: str
    place: int
    number: int | float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`field relation value`."""

    field: FieldName
    relation: Relation
    value: Value


@dataclass(frozen=True, slots=True)
class Membership:
    """`field in (value, ...)`."""

    field: FieldName
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """`field is none` or `field is nan`."""

    field: FieldName
    state: State


@dataclass(frozen=True, slots=True)
class Not:
    """True where the inner one is not."""

    inner: "Filter"


@dataclass(frozen=True, slots=True)
class AllOf:
    """True where every part is."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True where a part is."""

    parts: tuple["Filter", ...]


Filter = Comparison | Membership | Condition | Not | AllOf | AnyOf


def fields_of(tree: Filter) -> tuple[FieldName, ...]:
    """Every field that a filter looks at, in the order written."""
    if isinstance(tree, Comparison | Membership | Condition):
        return (tree.field,)
    if isinstance(tree, Not):
        return fields_of(tree.inner)
    return tuple(name for part in tree.parts for name in fields_of(part))
