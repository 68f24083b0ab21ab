"""The responses of an evaluation as a screen shows them: of one kind, found by words, in order."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from a5ctl.format import count
from a5ctl.tui.columns import Column
from a5ctl.tui.looks import BAD, DIM, OK, PLAIN, WARN, Cell, one_line
from core.registry.response_lines import ResponseLine

ALL, WRONG, RIGHT = "all", "wrong", "right"
_TYPES = ("type1", "type2", "type3")
COLUMNS = (
    Column("problem", "problem", 14, 99, tail=True),
    Column("verdict", "verdict", 7, 98),
    Column("failure", "failure", 22, 95),
    Column("answer", "answer", 10, 90, elastic=True),
    Column("truth", "truth", 8, 85),
    Column("tokens", "tokens", 6, 50, right=True),
    Column("finish", "ended", 11, 40),
)


@dataclass
class ResponsesModel:
    """Every response that was read so far, and which of them are shown.

    Attributes:
        kind: `all`, `wrong`, `right`, a type, or a failure class.
        found: Keys that a search found; None without a search.
    """

    lines: list[ResponseLine] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    kind: str = ALL
    found: set[int] | None = None

    def add(self, lines: Sequence[ResponseLine]) -> None:
        """Take in a piece; what fits is shown at the end."""
        begin = len(self.lines)
        self.lines += lines
        self.shown += [n for n in range(begin, len(self.lines)) if self._fits(self.lines[n])]

    def add_found(self, hits: Sequence[int], places: Mapping[int, int]) -> None:
        """Take in what a search found next; it is shown at the end.

        Args:
            hits: Keys, behind all that were found before.
            places: Where the lines are, by key.
        """
        self.found = self.found if self.found is not None else set()
        self.found.update(hits)
        at = (places[key] for key in hits)
        self.shown += [n for n in at if self._fits(self.lines[n])]

    def arrange(self) -> None:
        """Choose again."""
        self.shown = [n for n, line in enumerate(self.lines) if self._fits(line)]

    def failure_from(self, place: int, by: int) -> int | None:
        """The row of the next failure from a row on; None when there is none on that side."""
        place += by
        while 0 <= place < len(self.shown):
            if not self.lines[self.shown[place]].right:
                return place
            place += by
        return None

    def place_of(self, key: int | None) -> int | None:
        """The row of a response."""
        return next((n for n, at in enumerate(self.shown) if self.lines[at].key == key), None)

    def kinds(self) -> list[tuple[str, str]]:
        """(kind, what a list of kinds says of it), with how many there are."""
        failures = Counter(line.failure for line in self.lines if line.failure is not None)
        types = Counter(map(type_of, self.lines))
        wrong = sum(not line.right for line in self.lines)
        fixed = [
            (ALL, len(self.lines)),
            (WRONG, wrong),
            (RIGHT, len(self.lines) - wrong),
            *((name, types[name]) for name in _TYPES),
        ]
        listed = [*fixed, *failures.most_common()]
        return [(name, f"{count(number):>7}  {name}") for name, number in listed]

    # what a table asks for

    def __len__(self) -> int:
        return len(self.shown)

    def cells(self, index: int) -> Sequence[Cell]:
        """One row."""
        line = self.lines[self.shown[index]]
        sample = f"#{line.sample}" if line.sample else ""
        return (
            (one_line(line.problem) + sample, PLAIN),
            _verdict(line),
            (one_line(line.failure or ""), DIM if line.right else WARN),
            (one_line(line.extracted or "-", 80), OK if line.right else PLAIN),
            (one_line(line.truth, 80), DIM),
            (count(line.tokens), DIM),
            (one_line(line.finish), DIM),
        )

    def marked(self, index: int) -> bool:
        """Nothing is marked here."""
        return False

    def _fits(self, line: ResponseLine) -> bool:
        if self.found is not None and line.key not in self.found:
            return False
        if self.kind in (ALL, WRONG, RIGHT):
            return self.kind == ALL or line.right == (self.kind == RIGHT)
        return self.kind in (type_of(line), line.failure)


def type_of(line: ResponseLine) -> str:
    """Formatted and right, formatted and wrong, or not formatted."""
    return "type3" if not line.formatted else "type1" if line.right else "type2"


def _verdict(line: ResponseLine) -> Cell:
    sign, look = ("✓", OK) if line.right else ("✗", BAD)
    return f"{sign} {type_of(line)}", look
