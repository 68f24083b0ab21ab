"""How large a picture is, and the letters that go with it."""

import re
from dataclasses import dataclass

from core.errors import UserError

_POINTS_PER_INCH = 72
_LETTER = 0.52
"""Mean width of a letter in units of the font size."""
_SMALLEST, _LARGEST = 1.5, 40.0
_NARROW = 5.0


@dataclass(frozen=True, slots=True)
class PictureSize:
    """Size of a figure.

    Attributes:
        width: In inches.
        height: In inches, of the whole; None: as high as its rows ask for.
        font: In points.
    """

    width: float
    height: float | None = None

    @property
    def font(self) -> float:
        """Letters in points: what is printed in one column is not made smaller afterwards."""
        return 8.0 if self.width < _NARROW else 9.0

    @property
    def beside(self) -> int:
        """Stacks that fit side by side."""
        return 2 if self.width < _NARROW else 3

    @property
    def letters(self) -> int:
        """Letters in a line over a panel."""
        return max(10, int((self.width - 0.5) * _POINTS_PER_INCH / (_LETTER * self.font)))

    def columns_of(self, letters: int) -> int:
        """Columns of a legend whose longest word has so many letters; a sample stands before it."""
        return int(self.width * _POINTS_PER_INCH / ((letters + 7) * _LETTER * self.font))

    def height_of(self, rows: int, legend: int, *, titled: bool) -> float:
        """Inches of a figure of so many rows of panels and lines of legend."""
        if self.height is not None:
            return self.height
        row = 2.0 if self.width < _NARROW else 2.5
        line = 1.6 * self.font / _POINTS_PER_INCH
        return 0.35 + row * rows + line * (legend + 2 * titled)


SIZES = {"column": PictureSize(3.4), "page": PictureSize(7.0), "slide": PictureSize(10.0, 5.6)}


def parse_size(text: str) -> PictureSize:
    """The size that `--size` means.

    Raises:
        UserError: it is neither a known name nor WIDTHxHEIGHT in inches.
    """
    if text in SIZES:
        return SIZES[text]
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)", text.strip())
    if found is None:
        raise UserError(
            f"--size {text!r} is unknown; choose {', '.join(SIZES)}, or inches such as 6x4"
        )
    width, height = map(float, found.groups())
    if not all(_SMALLEST <= side <= _LARGEST for side in (width, height)):
        raise UserError(f"--size {text}: give {_SMALLEST:g} to {_LARGEST:g} inches each way")
    return PictureSize(width, height)
