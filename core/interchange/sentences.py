"""What was left out of an import, in few words however much it is."""

from collections import Counter
from collections.abc import Mapping


class Damage:
    """Collects complaints about one file; callable, so that readers of frames can complain."""

    def __init__(self, what: str = "the file is damaged") -> None:
        self._what = what
        self._first = ""
        self._count = 0

    def __call__(self, complaint: str) -> None:
        """Note one more place; only the first is told in words."""
        self._first = self._first or complaint
        self._count += 1

    def sentence(self) -> str | None:
        """What is wrong; None where nothing is."""
        if not self._count:
            return None
        more = f" (and {self._count - 1} places more)" if self._count > 1 else ""
        return f"{self._what}: {self._first}{more}; everything else was read"

    def sentences(self) -> list[str]:
        """The same as a list of none or one."""
        return [found for found in [self.sentence()] if found is not None]


def counted(passed_over: Mapping[str, int] | Counter[str]) -> list[str]:
    """`3 values that are no numbers`, for each kind of thing that was passed over."""
    return [f"{number:,} {what}" for what, number in sorted(passed_over.items())]
