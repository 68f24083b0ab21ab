"""What changed between two responses, word by word."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from rich.text import Text

from a5ctl.console import plain

_TOKEN = re.compile(r"</?(?:think|answer)>|\d+(?:[.,]\d+)*|\w+|\s+|[^\w\s]")
MOST_TOKENS = 1500
"""Longer responses are compared up to here; the comparison takes quadratic time."""
MOST_CHANGES = 12
_CONTEXT_CHARS = 32
_CHANGED_CHARS = 200
_UNALIKE = 0.3
_ISLAND = 2
"""Shared stretches of at most so many words between two changes are read as part of one change."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the comparison; what both have is in `removed` and `added` alike."""

    removed: str
    added: str

    @property
    def shared(self) -> bool:
        """Both texts have it."""
        return self.removed == self.added


def compare_words(old: str, new: str) -> tuple[Piece, ...] | None:
    """Both texts as shared and changed stretches in turn; None where they share too little."""
    a, b = _TOKEN.findall(old)[:MOST_TOKENS], _TOKEN.findall(new)[:MOST_TOKENS]
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    words = [
        token for block in matcher.get_matching_blocks() for token in a[block.a :][: block.size]
    ]
    if 2 * _count(words) < _UNALIKE * (_count(a) + _count(b)):
        return None
    pieces: list[Piece] = []
    for _, start, end, other, other_end in matcher.get_opcodes():
        piece = Piece("".join(a[start:end]), "".join(b[other:other_end]))
        island = piece.shared and len(piece.removed.split()) <= _ISLAND
        if island and not (start and end < len(a)):
            island = False  # nothing changed on one side of it
        if pieces and (island or not piece.shared) and not pieces[-1].shared:
            last = pieces.pop()
            piece = Piece(last.removed + piece.removed, last.added + piece.added)
        pieces.append(piece)
    return tuple(pieces)


def diff_text(old: str, new: str, *, marked: bool) -> Text:
    """What changed, in the words around it.

    Args:
        old: The first text.
        new: The second.
        marked: Write `[-removed-]` and `{+added+}`, for where there are no colours.
    """
    pieces = compare_words(old, new)
    if pieces is None:
        return Text("the two share too little to be compared", style="dim")
    text, changes = Text(), sum(not piece.shared for piece in pieces)
    if not changes:
        return Text("the same text", style="dim")
    shown = 0
    for index, piece in enumerate(pieces):
        if shown == MOST_CHANGES:
            break
        shown += not piece.shared
        for part in _piece(piece, marked, first=index == 0, last=index == len(pieces) - 1):
            text.append_text(part)
    if changes > shown:
        text.append(f" and {changes - shown:,} more changes", style="dim")
    return text


def changes_json(old: str, new: str) -> list[dict[str, str]] | None:
    """Removed and added words of every change; None where the texts share too little."""
    pieces = compare_words(old, new)
    if pieces is None:
        return None
    return [
        {"removed": piece.removed, "added": piece.added} for piece in pieces if not piece.shared
    ]


def _count(tokens: Sequence[str]) -> int:
    return sum(not token.isspace() for token in tokens)


def _piece(piece: Piece, marked: bool, *, first: bool, last: bool) -> Iterator[Text]:
    if piece.shared:
        yield plain(_context(_flat(piece.removed), first=first, last=last), style="dim")
        return
    removed, added = _cut(piece.removed), _cut(piece.added)
    if removed:
        yield plain(f"[-{removed}-]" if marked else removed, style="red strike")
    if added:
        yield plain(f"{{+{added}+}}" if marked else added, style="bold green")


def _context(text: str, *, first: bool, last: bool) -> str:
    """The ends of a shared stretch that lie beside a change."""
    if len(text) <= 2 * _CONTEXT_CHARS:
        return text
    head = "" if first else text[:_CONTEXT_CHARS]
    return f"{head} ... " + ("" if last else text[-_CONTEXT_CHARS:])


def _cut(text: str) -> str:
    flat = _flat(text)
    return flat if len(flat) <= _CHANGED_CHARS else f"{flat[: _CHANGED_CHARS - 3]}..."


def _flat(text: str) -> str:
    return re.sub(r"\s", " ", text)
