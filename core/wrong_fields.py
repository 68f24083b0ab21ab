"""The first thing that validation finds wrong in what a person wrote, in words."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class WrongField:
    """One field, and what is wrong with it.

    Attributes:
        parts: Names and numbers that lead to it, from the top; empty for the whole.
        kind: pydantic's name of the error.
        message: What is wrong; what our own validators say is said as they say it.
        given: The value; of a missing field what it is missing from.
        expected: What pydantic expected, in its words; empty where it says nothing.
    """

    parts: tuple[str, ...]
    kind: str
    message: str
    given: Any
    expected: str

    @property
    def place(self) -> str:
        """The dotted name."""
        return ".".join(self.parts)

    @property
    def unknown(self) -> bool:
        """There is no such field."""
        return self.kind == "extra_forbidden"

    @property
    def missing(self) -> bool:
        """The field is needed, and is not there."""
        return self.kind == "missing"

    @property
    def sentence(self) -> str:
        """Place, message and, where the message does not name it, the value."""
        plain = isinstance(self.given, str | int | float | bool)
        value = f" (got {shown(self.given)})" if plain and self.kind != "value_error" else ""
        return f"{self.place}: {self.message}{value}" if self.parts else f"{self.message}{value}"


def first_wrong(error: ValidationError) -> WrongField:
    """The first of the errors."""
    first = error.errors(include_url=False)[0]
    return WrongField(
        tuple(str(part) for part in first["loc"]),
        first["type"],
        first["msg"].removeprefix("Value error, "),
        first["input"],
        first.get("ctx", {}).get("expected", ""),
    )


def shown(value: object) -> str:
    """A value in quotes if it is a text, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
